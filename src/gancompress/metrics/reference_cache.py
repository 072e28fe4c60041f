"""Features of real images, kept between runs and found again by what they were made of."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import torch

from gancompress.errors import CheckpointError, MetricError
from gancompress.metrics.features import FeatureNetwork, FeatureSet
from gancompress.metrics.statistics import Gaussian
from gancompress.models.trunks.weights import cache_folder, file_sha256
from gancompress.models.weight_files import read_safetensors, write_safetensors


def content_key(files: Iterable[Path], network: FeatureNetwork, preparation: str = "") -> str:
    """What features depend on, as one hexadecimal number: the files' bytes in any order, the network, the protocol.

    Args:
        files: Image files, or archives of such.
        network: The network, by its weights' fingerprint and its protocol.
        preparation: What else was done to the images, in words (load size, crop).

    Raises:
        MetricError: A file does not exist, or there are none.
    """
    digests = []
    for path in files:
        if not path.is_file():
            raise MetricError(f"{path}: found no such file, expected an image or an archive; check the path")
        digests.append(file_sha256(path))
    if not digests:
        raise MetricError("reference images: got no files, expected at least two images; check the folder")
    parts = [network.fingerprint, network.protocol, preparation, *sorted(digests)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


class ReferenceCache:
    """A folder of feature sets, each in a file named by its key."""

    def __init__(self, folder: Path | None = None) -> None:
        """Uses a folder, by default ``references`` in the cache of this package; made when it is first needed."""
        self.folder = folder or cache_folder() / "references"

    def get(self, key: str, make: Callable[[], FeatureSet]) -> FeatureSet:
        """The kept feature set, or a new one, which is then kept. A damaged file is made anew.

        Args:
            key: From `content_key`.
            make: Extracts the features.
        """
        path = self.folder / f"{key}.safetensors"
        if path.is_file():
            try:
                return FeatureSet.from_tensors(read_safetensors(path))
            except (CheckpointError, KeyError):
                path.unlink(missing_ok=True)
        made = make()
        os.makedirs(self.folder, exist_ok=True)
        write_safetensors(path, made.tensors())
        return made


def read_statistics(path: Path) -> Gaussian:
    """Statistics as pytorch-fid stores them, in an ``.npz`` file, which does not tell of how many images they are.

    Raises:
        MetricError: The file does not exist or cannot be read, or holds no such arrays.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            mean, covariance = (torch.from_numpy(np.asarray(file[name], dtype=np.float64)) for name in ("mu", "sigma"))
    except Exception as error:
        raise MetricError(
            f"{path}: reading it failed ({type(error).__name__}: {error}), expected arrays 'mu' and 'sigma' in an .npz "
            "file; check the path, or compute the statistics again"
        ) from None
    if mean.ndim != 1 or covariance.shape != (len(mean), len(mean)):
        raise MetricError(
            f"{path}: got mu of shape {tuple(mean.shape)} and sigma of {tuple(covariance.shape)}, expected (d,) and "
            "(d, d); compute the statistics again"
        )
    return Gaussian(mean, covariance)
