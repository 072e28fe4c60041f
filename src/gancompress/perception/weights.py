"""Published weight files: download, verification and cache."""

from __future__ import annotations

import hashlib
import os
import tempfile
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path

from torch import Tensor, nn

from gancompress.errors import CheckpointError
from gancompress.io import cache_folder, file_sha256
from gancompress.networks.state import listed
from gancompress.networks.weight_files import read_torch_file

TIMEOUT_S = 30
CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class WeightFile:
    """A file of weights as its authors publish it.

    Attributes:
        name: File name in the cache.
        url: Address of the published file.
        sha256: The first hexadecimal digits of its SHA-256, as many as are published.
    """

    name: str
    url: str
    sha256: str


_TORCHVISION = "https://download.pytorch.org/models"
_LPIPS = "https://raw.githubusercontent.com/richzhang/PerceptualSimilarity/master/lpips/weights/v0.1"
_FID = "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights"

WEIGHTS: dict[str, WeightFile] = {
    "vgg16": WeightFile("vgg16-397923af.pth", f"{_TORCHVISION}/vgg16-397923af.pth", "397923af"),
    "vgg19": WeightFile("vgg19-dcbb9e9d.pth", f"{_TORCHVISION}/vgg19-dcbb9e9d.pth", "dcbb9e9d"),
    "alexnet": WeightFile("alexnet-owt-7be5be79.pth", f"{_TORCHVISION}/alexnet-owt-7be5be79.pth", "7be5be79"),
    "squeezenet1_0": WeightFile("squeezenet1_0-b66bff10.pth", f"{_TORCHVISION}/squeezenet1_0-b66bff10.pth", "b66bff10"),
    "squeezenet1_1": WeightFile("squeezenet1_1-b8a52dc0.pth", f"{_TORCHVISION}/squeezenet1_1-b8a52dc0.pth", "b8a52dc0"),
    "inception": WeightFile(
        "pt_inception-2015-12-05-6726825d.pth", f"{_FID}/pt_inception-2015-12-05-6726825d.pth", "6726825d"
    ),
    "lpips_alex": WeightFile("lpips_v0.1_alex.pth", f"{_LPIPS}/alex.pth", "df73285e35b22355a2df87cdb6b70b34"),
    "lpips_vgg": WeightFile("lpips_v0.1_vgg.pth", f"{_LPIPS}/vgg.pth", "a78928a0af1e5f0fcb1f3b9e8f8c3a2a"),
    "lpips_squeeze": WeightFile("lpips_v0.1_squeeze.pth", f"{_LPIPS}/squeeze.pth", "4a5350f23600cb79923ce65bb07cbf57"),
}


def fetch_weights(file: WeightFile, folder: Path | None = None) -> Path:
    """Return the path of a file in the cache; a missing file is downloaded and verified first.

    Args:
        file: The published file.
        folder: The cache; `cache_folder` by default.

    Raises:
        CheckpointError: The file is neither in the cache nor can be downloaded, or is not the published one.
    """
    path = (folder or cache_folder()) / file.name
    if path.is_file():
        found = file_sha256(path)
        if not found.startswith(file.sha256):
            raise CheckpointError(
                f"{path}: got a file with SHA-256 {found[:16]}..., expected {file.sha256}...; "
                f"it is damaged or another file: delete it, and copy {file.url} there"
            )
        return path
    _download(file, path)
    return path


def load_weights(network: nn.Module, path: Path, prefixes: tuple[str, ...] = ("",)) -> None:
    """Load a state dict into a network; the file must hold all its tensors.

    Args:
        network: Network that receives the weights.
        path: A file written by ``torch.save``; only tensors are read, no code in it is run.
        prefixes: Prefixes of the names to load; other tensors in the file (a classifier) are ignored.

    Raises:
        CheckpointError: The file cannot be read, or its tensors do not fit.
    """
    wanted = network.state_dict()
    found = {name: tensor for name, tensor in read_torch_file(path).items() if name.startswith(prefixes)}
    fitting = {name: tensor for name, tensor in found.items() if name in wanted}
    # Files older than this counter of batch norm lack it; inference does not use it.
    missing = [name for name in wanted if name not in found and not name.endswith("num_batches_tracked")]
    if missing or len(fitting) < len(found):
        surplus = [name for name in found if name not in wanted]
        raise CheckpointError(
            f"{path}: got a state dict that lacks {listed(missing) or 'nothing'} and has "
            f"{listed(surplus) or 'nothing'} too much, expected the published weights of "
            f"{type(network).__name__}; give the file of this network"
        )
    _check_shapes(path, fitting, wanted)
    network.load_state_dict(fitting, strict=False)


def _check_shapes(path: Path, found: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> None:
    for name, tensor in found.items():
        if tensor.shape != wanted[name].shape:
            raise CheckpointError(
                f"{path}: '{name}': got shape {tuple(tensor.shape)}, expected {tuple(wanted[name].shape)}; "
                "give the file of this network"
            )


def _download(file: WeightFile, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".partial")
    partial = Path(name)
    try:
        digest = hashlib.sha256()
        with os.fdopen(handle, "wb") as out, urllib.request.urlopen(file.url, timeout=TIMEOUT_S) as source:
            announced = int(source.headers.get("Content-Length") or -1)
            size = 0
            while chunk := source.read(CHUNK_BYTES):
                out.write(chunk)
                digest.update(chunk)
                size += len(chunk)
        _check_download(file, digest.hexdigest(), size, announced)
        os.replace(partial, path)
    except (OSError, HTTPException) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        raise CheckpointError(
            f"{file.name}: downloading {file.url} failed ({reason}), expected the file or a network connection; "
            f"get it on another machine and put it at {path}"
        ) from None
    finally:
        partial.unlink(missing_ok=True)


def _check_download(file: WeightFile, sha256: str, size: int, announced: int) -> None:
    if announced >= 0 and size != announced:
        raise CheckpointError(
            f"{file.name}: got {size} of {announced} bytes from {file.url}, expected all; run the command again"
        )
    if not sha256.startswith(file.sha256):
        raise CheckpointError(
            f"{file.name}: got a file with SHA-256 {sha256[:16]}... from {file.url}, expected {file.sha256}...; "
            "nothing was kept: check the connection for a proxy that answers in its place, and run the command again"
        )
