"""Features of images through a network, gathered over batches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from gancompress.errors import MetricError
from gancompress.metrics.images import RESIZE_WORDS, Size, resize
from gancompress.metrics.statistics import Statistics
from gancompress.models.trunks.load import load_inception
from gancompress.models.trunks.network_file import NetworkFile
from gancompress.models.trunks.weights import WEIGHTS, file_sha256

INCEPTION = "inception"
INCEPTION_SIZE = (299, 299)


@dataclass(frozen=True)
class FeatureNetwork:
    """A network with the way images get into it.

    Attributes:
        name: Names the distances over it (``fd_<name>``).
        network: Images [b, 3, h, w], RGB in [0, 1], to features [b, d], or to several outputs, the features first. Of a
            map [b, d, h, w] the mean over positions is taken.
        size: Height and width it wants; None takes images as they are.
        resizing: A name in `RESIZES`.
        fingerprint: Tells its weights from others.
        device: Where it runs.
    """

    name: str
    network: nn.Module
    size: Size | None
    resizing: str
    fingerprint: str
    device: torch.device | str = "cpu"

    @property
    def protocol(self) -> str:
        """The protocol in words."""
        size = "images as they are" if self.size is None else f"{self.size[1]}x{self.size[0]} (width x height)"
        return f"{self.name} features, {size}, {RESIZE_WORDS[self.resizing]}"

    @torch.inference_mode()
    def __call__(self, images: Tensor) -> Tensor:
        """Features [b, d] of images [b, 3, h, w], RGB in [-1, 1] or uint8.

        Raises:
            MetricError: The images or the network's output are not such.
        """
        outputs = self.network(resize(images.to(self.device), self.size, self.resizing))
        features = outputs if isinstance(outputs, Tensor) else outputs[0]
        if features.ndim == 4:
            features = features.mean((2, 3))
        if features.ndim != 2 or len(features) != len(images):
            raise MetricError(
                f"{self.name}: got an output of shape {tuple(features.shape)} for {len(images)} images, expected "
                "[b, d] or [b, d, h, w]; give a network that returns features first"
            )
        return features.float().cpu()


@dataclass
class FeatureSet:
    """Features of a set of images: their statistics, and they themselves.

    Attributes:
        keep: Whether to keep all features, which kernel distances and neighbours need. Without, they are kept only
            while there are fewer images than features, where they make the Frechet distance cheap.
        statistics: None while there are no images.
    """

    keep: bool = True
    statistics: Statistics | None = None
    _parts: list[Tensor] = field(default_factory=list)

    def add(self, features: Tensor) -> None:
        """Adds a batch of features [b, d]. Raises MetricError where their length differs from earlier ones."""
        if len(features):
            self.merge(FeatureSet(self.keep, Statistics.of(features), [features.float().cpu()]))

    def merge(self, other: FeatureSet) -> None:
        """Adds all of another set, for example of another process. Raises MetricError as `add`."""
        if other.statistics is None:
            return
        mine = self.statistics
        self.statistics = other.statistics if mine is None else mine.merge(other.statistics)
        self._parts += other._parts
        if not self.keep and self.count >= len(self.statistics.mean):
            self._parts = []

    @property
    def count(self) -> int:
        """How many images."""
        return 0 if self.statistics is None else self.statistics.count

    @property
    def features(self) -> Tensor | None:
        """All features, float32 [n, d]; None where not all were kept."""
        if self.count == 0 or sum(len(part) for part in self._parts) != self.count:
            return None
        self._parts = [torch.cat(self._parts)]
        return self._parts[0]

    def tensors(self) -> dict[str, Tensor]:
        """All of it as tensors by name, for a file. Raises MetricError where there are no images."""
        if self.statistics is None:
            raise MetricError("features: got no images, expected at least two; check where the images come from")
        count = torch.tensor(self.statistics.count)
        tensors = {"count": count, "mean": self.statistics.mean, "scatter": self.statistics.scatter}
        return tensors if self.features is None else tensors | {"features": self.features}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor], keep: bool = True) -> FeatureSet:
        """The inverse of `tensors`."""
        statistics = Statistics(int(tensors["count"]), tensors["mean"], tensors["scatter"])
        return cls(keep, statistics, [tensors["features"]] if "features" in tensors else [])


def load_feature_network(
    name: str,
    path: str | Path | None = None,
    size: Size | None = None,
    resizing: str = "clean",
    device: torch.device | str = "cpu",
) -> FeatureNetwork:
    """A feature network from its file.

    Args:
        name: Its name; ``inception`` is the network of FID.
        path: TorchScript or ONNX file; for ``inception`` its published weights, from the cache or their authors
            without it.
        size: Height and width it wants; ``inception`` fixes its own.
        resizing: A name in `RESIZES`.
        device: Where to run it.

    Raises:
        CheckpointError: The file cannot be had or read, or does not fit.
        MetricError: There is no path, or no such resizing.
    """
    if resizing not in RESIZE_WORDS:
        raise MetricError(f"{name}: got resizing '{resizing}', expected {' or '.join(RESIZE_WORDS)}; choose one")
    if name == INCEPTION:
        network = load_inception(path).to(device)
        fingerprint = file_sha256(Path(path)) if path else WEIGHTS[INCEPTION].sha256
        return FeatureNetwork(name, network, INCEPTION_SIZE, resizing, fingerprint, device)
    if path is None:
        raise MetricError(
            f"{name}: got no file, expected the path of a TorchScript or ONNX network; name one for '{name}'"
        )
    network = NetworkFile(path, device)
    return FeatureNetwork(name, network, size, resizing, file_sha256(Path(path)), device)
