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
from gancompress.networks.checkpoint_file import CheckpointFile, without_wrappers
from gancompress.networks.state import listed

TIMEOUT_S = 30
CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class WeightFile:
    """A file of weights as its authors publish it.

    Attributes:
        name: File name in the cache.
        url: Address of the published file.
        sha256: Its SHA-256 in hexadecimal, or as many of the first digits as are published.
    """

    name: str
    url: str
    sha256: str


_TORCHVISION = "https://download.pytorch.org/models"
_LPIPS = "https://raw.githubusercontent.com/richzhang/PerceptualSimilarity/master/lpips/weights/v0.1"
_FID = "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights"

_CIFAR = "https://github.com/akamaster/pytorch_resnet_cifar10/raw/master/pretrained_models"


def _of_torchvision(name: str, sha256: str) -> WeightFile:
    file = f"{name}-{sha256[:8]}.pth"
    return WeightFile(file, f"{_TORCHVISION}/{file}", sha256)


WEIGHTS: dict[str, WeightFile] = {
    "vgg16": _of_torchvision("vgg16", "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0"),
    "vgg19": _of_torchvision("vgg19", "dcbb9e9dad569fff7a846263a77324fc34978fea2bfb039c012d710e1776ae44"),
    "alexnet": _of_torchvision("alexnet-owt", "7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02"),
    "squeezenet1_0": _of_torchvision("squeezenet1_0", "b66bff10"),  # torchvision publishes no more digits
    "squeezenet1_1": _of_torchvision(
        "squeezenet1_1", "b8a52dc049b60e4b6ab68ad0df457362afab8b6304b2febdc1650a5dab4d7e7b"
    ),
    "mobilenet_v2": _of_torchvision("mobilenet_v2", "b03531047ffacf1e2488318dcd2aba1126cde36e3bfe1aa5cb07700aeeee9889"),
    "resnet56_cifar10": WeightFile(
        "resnet56-4bfd9763.th",
        f"{_CIFAR}/resnet56-4bfd9763.th",
        "4bfd97631478d6b638d2764fd2baff3edb1d7d82252d54439343b6596b9b5367",
    ),
    "inception": WeightFile(
        "pt_inception-2015-12-05-6726825d.pth",
        f"{_FID}/pt_inception-2015-12-05-6726825d.pth",
        "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
    ),
    "lpips_alex": WeightFile(
        "lpips_v0.1_alex.pth",
        f"{_LPIPS}/alex.pth",
        "df73285e35b22355a2df87cdb6b70b343713b667eddbda73e1977e0c860835c0",
    ),
    "lpips_vgg": WeightFile(
        "lpips_v0.1_vgg.pth",
        f"{_LPIPS}/vgg.pth",
        "a78928a0af1e5f0fcb1f3b9e8f8c3a2a5a3de244d830ad5c1feddc79b8432868",
    ),
    "lpips_squeeze": WeightFile(
        "lpips_v0.1_squeeze.pth",
        f"{_LPIPS}/squeeze.pth",
        "4a5350f23600cb79923ce65bb07cbf57dca461329894153e05a1346bd531cf76",
    ),
}
"""Published files by name.

The SHA-256 of ``lpips_*`` and of ``resnet56_cifar10`` were computed from the files (the package lpips 0.1.4 and the
repository), those of the others are the ones that several projects state.
"""


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
                f"{path}: got a file with SHA-256 {found[:16]}..., expected {file.sha256[:16]}...; "
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
    whole = without_wrappers(CheckpointFile.open(path).state_dict())
    found = {name: tensor for name, tensor in whole.items() if name.startswith(prefixes)}
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
            f"{file.name}: got a file with SHA-256 {sha256[:16]}... from {file.url}, expected {file.sha256[:16]}...; "
            "nothing was kept: check the connection for a proxy that answers in its place, and run the command again"
        )
