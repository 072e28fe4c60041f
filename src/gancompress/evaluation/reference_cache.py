"""Cache of features of real images, with keys made from everything that they depend on."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import torch

from gancompress.errors import CheckpointError, MetricError
from gancompress.evaluation.features import FeatureNetwork, FeatureSet
from gancompress.evaluation.statistics import Gaussian
from gancompress.io import cache_folder
from gancompress.networks.weight_files import read_safetensors, write_safetensors

_LOG = logging.getLogger(__name__)
FORMAT_VERSION = 2
"""Part of every key; raise it when the same images would no longer give the same features."""


def content_digest(contents: Iterable[bytes], preparation: str) -> str:
    """Return a hexadecimal digest of everything that the images of a set depend on.

    Args:
        contents: Contents of their files, in the order of the images, independent of paths; empty for generated images.
        preparation: Description of all preprocessing of the images (load size, crop, number).
    """
    digests = [hashlib.sha256(content).hexdigest() for content in contents]
    return hashlib.sha256("\n".join([preparation, *digests]).encode()).hexdigest()


def reference_key(images: str, network: FeatureNetwork) -> str:
    """Return the key of features: the digest of images by `content_digest`, network's weights, protocol and mask."""
    parts = [str(FORMAT_VERSION), images, network.fingerprint, network.protocol]
    if network.content is not None:
        parts.append(str(network.content.fingerprint))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


class ReferenceCache:
    """A folder of feature sets, each in a file named by its key. It can be deleted at any time."""

    def __init__(self, folder: Path | None = None) -> None:
        """Set the folder, by default ``references`` in the cache of this package; it is created on first use."""
        self.folder = folder or cache_folder() / "references"

    def get(self, key: str, make: Callable[[], FeatureSet], keep: bool = True) -> FeatureSet:
        """Return the cached feature set, or compute and store it.

        A damaged file is computed again, and a folder that cannot be written is skipped; both are logged as warnings.

        Args:
            key: Result of `reference_key`.
            make: Function that extracts the features.
            keep: Whether all features are needed; a file with only statistics is then computed again.
        """
        path = self.folder / f"{key}.safetensors"
        found = self._read(path, keep) if path.is_file() else None
        if found is not None:
            return found
        made = make()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_safetensors(path, made.tensors())
        except OSError as error:
            _LOG.warning("%s: not kept (%s); it will be computed again", path, error)
        return made

    def _read(self, path: Path, keep: bool) -> FeatureSet | None:
        try:
            found = FeatureSet.from_tensors(read_safetensors(path), keep)
        except (CheckpointError, MetricError) as error:
            _LOG.warning("%s: damaged (%s); it is computed anew", path, error)
            return None
        return None if keep and found.features is None else found


def read_statistics(path: Path) -> Gaussian:
    """Read statistics that pytorch-fid stored in an ``.npz`` file, which does not record the number of images.

    Raises:
        MetricError: The file does not exist or cannot be read, or lacks the arrays.
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
