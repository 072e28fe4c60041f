"""Features of images from a network, collected over batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gancompress.errors import MetricError
from gancompress.evaluation.images import RESIZE_WORDS, Size, resize
from gancompress.evaluation.network_spec import INCEPTION, INCEPTION_SIZE, NetworkSpec, checked_spec
from gancompress.evaluation.statistics import Statistics
from gancompress.perception.content_masks import Mask, MaskOptions
from gancompress.perception.load import load_inception
from gancompress.perception.weights import WEIGHTS

FOLDED_AT_ONCE = 1024
"""Smallest number of features that are folded into statistics at a time."""


@dataclass(frozen=True)
class ContentMask:
    """Mask of the content of images, for metrics of the content alone; the rest becomes mid grey.

    Attributes:
        words: Description of the provider.
        fingerprint: Identifier of its masks; None if features of real images must not be kept.
        mask: Function from images and their names to a mask of the pixels that count.
    """

    words: str
    fingerprint: str | None
    mask: Mask

    @classmethod
    def of(cls, options: MaskOptions) -> ContentMask:
        """Load the mask of a provider. Raises the errors of `MaskOptions.load`."""
        return cls(f"content mask {options.kind}", options.fingerprint, options.load())

    def __call__(self, images: Tensor, names: Sequence[str]) -> Tensor:
        """Return the content of images [b, 3, h, w], RGB in [-1, 1] or uint8, as images in [-1, 1]."""
        shown = images.float() / 127.5 - 1 if images.dtype == torch.uint8 else images.float()
        return shown * self.mask(shown, names)


@dataclass(frozen=True)
class FeatureNetwork:
    """A feature network with its preprocessing of images.

    Attributes:
        name: Name in the distances over it (``fd_<name>``).
        network: Images [b, 3, h, w], RGB in [0, 1], to features [b, d], or to several outputs, the features first. A
            map [b, d, h, w] is averaged over positions.
        size: Height and width of its input; None leaves images at their size.
        resizing: A name in `RESIZES`.
        fingerprint: Identifier of its weights.
        device: Device of the network.
        content: Mask of the content, if only the content counts; None uses whole images.
    """

    name: str
    network: nn.Module
    size: Size | None
    resizing: str
    fingerprint: str
    device: torch.device | str = "cpu"
    content: ContentMask | None = None

    @property
    def protocol(self) -> str:
        """Description of the protocol."""
        size = "images as they are" if self.size is None else f"{self.size[1]}x{self.size[0]} (width x height)"
        content = "" if self.content is None else f", times the {self.content.words}"
        return f"{self.name} features, {size}, {RESIZE_WORDS[self.resizing]}{content}"

    @torch.inference_mode()
    def __call__(self, images: Tensor, names: Sequence[str] = ()) -> Tensor:
        """Return the features [b, d] of images [b, 3, h, w], RGB in [-1, 1] or uint8.

        Args:
            images: The images.
            names: Their names, for content masks that depend on them.

        Raises:
            MetricError: The images or the network's output have a wrong shape or kind.
            GanCompressError: The content mask does not fit the images.
        """
        images = images.to(self.device)
        if self.content is not None:
            images = self.content(images, names)
        outputs = self.network(resize(images, self.size, self.resizing))
        features = outputs if isinstance(outputs, Tensor) else outputs[0]
        if features.ndim == 4:
            features = features.mean((2, 3))
        if features.ndim != 2 or len(features) != len(images):
            raise MetricError(
                f"{self.name}: got an output of shape {tuple(features.shape)} for {len(images)} images, expected "
                "[b, d] or [b, d, h, w]; give a network that returns features first"
            )
        return features.float().cpu()


class FeatureSet:
    """Features of a set of images, and their statistics, which are computed on demand.

    Attributes:
        keep: Whether to keep all features, which kernel distances and neighbours need. Otherwise they are kept only
            while there are fewer images than features, because they then make the Frechet distance cheap.
    """

    def __init__(self, keep: bool = True) -> None:
        """Create an empty set."""
        self.keep = keep
        self._folded: Statistics | None = None
        self._parts: list[Tensor] = []
        self._statistics: Statistics | None = None

    def add(self, features: Tensor) -> None:
        """Add a batch of features [b, d]. Raises MetricError if their length differs from earlier ones."""
        if not len(features):
            return
        if self.count and features.shape[1] != self.length:
            raise MetricError(
                f"features: got {features.shape[1]} numbers after {self.length}, expected as many; "
                "take all features from one network"
            )
        self._parts.append(features.detach().float().cpu())
        self._fold_what_need_not_be_kept()

    @property
    def count(self) -> int:
        """Number of images."""
        return (0 if self._folded is None else self._folded.count) + self._num_unfolded

    @property
    def length(self) -> int:
        """Length of a feature; 0 while there are no images."""
        if self._parts:
            return self._parts[0].shape[1]
        return 0 if self._folded is None else len(self._folded.mean)

    @property
    def features(self) -> Tensor | None:
        """All features, float32 [n, d]; None if not all were kept."""
        if not self._parts or self._folded is not None or not (self.keep or self.count < self.length):
            return None
        self._parts = [torch.cat(self._parts)]
        return self._parts[0]

    @property
    def statistics(self) -> Statistics | None:
        """Statistics of the features; None while there are no images."""
        if self._statistics is None or self._statistics.count != self.count:
            statistics = self._folded
            if self._parts:
                unfolded = Statistics.of(torch.cat(self._parts))
                statistics = unfolded if statistics is None else statistics.merge(unfolded)
            self._statistics = statistics
        return self._statistics

    def tensors(self) -> dict[str, Tensor]:
        """Return the set as tensors by name, for a file. Raises MetricError if there are no images."""
        if self.features is not None:
            return {"features": self.features}
        statistics = self.statistics
        if statistics is None:
            raise MetricError("features: got no images, expected at least two; check where the images come from")
        return {"count": torch.tensor(statistics.count), "mean": statistics.mean, "scatter": statistics.scatter}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor], keep: bool = True) -> FeatureSet:
        """Create a set from the result of `tensors`.

        Raises:
            MetricError: The tensors have other names or shapes.
        """
        made = cls(keep)
        shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
        length = shapes.get("mean", (0,))[0]
        if set(shapes) == {"features"} and len(shapes["features"]) == 2:
            made.add(tensors["features"])
        elif shapes == {"count": (), "mean": (length,), "scatter": (length, length)}:
            made._folded = Statistics(int(tensors["count"]), tensors["mean"], tensors["scatter"])
        else:
            raise MetricError(f"features: got tensors {shapes}, expected features [n, d], or count, mean and scatter")
        return made

    @property
    def _num_unfolded(self) -> int:
        return sum(map(len, self._parts))

    def _fold_what_need_not_be_kept(self) -> None:
        """Fold features into statistics, many at a time, because each fold costs a d by d matrix."""
        if not self.keep and self._num_unfolded >= max(self.length, FOLDED_AT_ONCE):
            self._folded, self._parts = self.statistics, []


def load_feature_network(
    name: str, spec: NetworkSpec | None = None, resizing: str = "clean", device: torch.device | str = "cpu"
) -> FeatureNetwork:
    """Load a feature network from its file.

    Args:
        name: Its name; ``inception`` is the network of FID, with a fixed size.
        spec: Its file, and height and width of its input; for ``inception`` its published weights, by default from the
            cache or their authors.
        resizing: A name in `RESIZES`.
        device: Device of the network.

    Raises:
        CheckpointError: The file cannot be found or read, or does not fit.
        MetricError: There is no file, or no such resizing.
    """
    spec = checked_spec(name, spec, resizing)
    if spec is None:
        return FeatureNetwork(
            name, load_inception().to(device), INCEPTION_SIZE, resizing, WEIGHTS[INCEPTION].sha256, device
        )
    if name == INCEPTION:
        network, size = load_inception(spec.file).to(device), INCEPTION_SIZE
    else:
        network, size = spec.load(device), spec.size
    return FeatureNetwork(name, network, size, resizing, spec.fingerprint, device)
