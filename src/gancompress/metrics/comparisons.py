"""What metrics are taken of: two sets of images, pairs of images, or images and their label maps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from gancompress.errors import MetricError
from gancompress.metrics.bootstrap import bootstrap_interval
from gancompress.metrics.features import FeatureNetwork, FeatureSet
from gancompress.metrics.frechet import FrechetReference
from gancompress.metrics.kernel_distance import kernel_distance
from gancompress.metrics.precision_recall import precision_recall
from gancompress.metrics.segmentation import LabelScores, SegmentationNetwork
from gancompress.metrics.statistics import Gaussian

Score = tuple[float, tuple[float, float] | None]
"""A value and its 95 % interval."""


@dataclass
class SetComparison:
    """Generated and reference images through one feature network."""

    network: FeatureNetwork
    generated: FeatureSet = field(default_factory=FeatureSet)
    reference: FeatureSet | Gaussian = field(default_factory=FeatureSet)
    _frechet: FrechetReference | None = None

    def add_reference(self, images: Tensor, names: Sequence[str] = ()) -> None:
        """Adds a batch of reference images. Raises MetricError where the reference is given as stored statistics."""
        self._reference_set("more reference images").add(self.network(images, names))
        self._frechet = None

    def use_reference(self, reference: FeatureSet | Gaussian) -> None:
        """Takes kept features or stored statistics as the reference."""
        self.reference = reference
        self._frechet = None

    @property
    def num_reference_images(self) -> int | None:
        """How many reference images; None where stored statistics do not say."""
        return self.reference.count

    def frechet(self) -> Score:
        """Frechet distance. It has no interval: resampling images inflates it. Raises MetricError without images."""
        if self._frechet is None:
            self._frechet = FrechetReference(_for_frechet(self.network.name, "reference", self.reference))
        return self._frechet.distance(_for_frechet(self.network.name, "generated", self.generated)), None

    def kernel(self) -> Score:
        """Kernel distance. Raises MetricError where there are too few images or features were not kept."""
        return kernel_distance(*self._features("the kernel distance"))

    def precision(self) -> Score:
        """Share of generated images among the real ones. Raises MetricError as `kernel`."""
        return _mean(precision_recall(*self._features("precision"))[0])

    def recall(self) -> Score:
        """Share of real images among the generated ones. Raises MetricError as `kernel`."""
        return _mean(precision_recall(*self._features("recall"))[1])

    def _features(self, metric: str) -> tuple[Tensor, Tensor]:
        generated, reference = self.generated.features, self._reference_set(metric).features
        if generated is None or reference is None:
            raise MetricError(
                f"{self.network.name}: got features of {self.generated.count} generated and {self.reference.count} "
                f"reference images for {metric}, expected kept features of both; add images of both"
            )
        return generated, reference

    def _reference_set(self, wanted_for: str) -> FeatureSet:
        if isinstance(self.reference, Gaussian):
            raise MetricError(
                f"{self.network.name}: got stored mean and covariance as reference, expected images for {wanted_for}; "
                "give the reference images themselves"
            )
        return self.reference


@dataclass
class PairComparison:
    """Likeness of each image to its target.

    Attributes:
        measure: Images and targets [b, 3, h, w] to values [b].
        values: The values of each batch.
    """

    measure: Callable[[Tensor, Tensor], Tensor]
    values: list[Tensor] = field(default_factory=list)

    def add(self, images: Tensor, targets: Tensor) -> None:
        """Adds a batch of images and targets [b, 3, h, w]. Raises MetricError where they are not such."""
        with torch.inference_mode():
            self.values.append(self.measure(images, targets).double().cpu())

    @property
    def count(self) -> int:
        """How many pairs."""
        return len(self.all_values())

    def all_values(self) -> Tensor:
        """The value of each pair, float64, shape ``(n,)``."""
        return torch.cat([torch.zeros(0, dtype=torch.float64), *self.values])

    def mean(self) -> Score:
        """Mean over pairs. Raises MetricError without any."""
        if not self.count:
            raise MetricError("pairs: got no images, expected at least one; give images with targets")
        return _mean(self.all_values())


@dataclass
class LabelComparison:
    """Images and label maps through one segmentation network."""

    network: SegmentationNetwork
    scores: LabelScores

    def add(self, images: Tensor, labels: Tensor) -> None:
        """Adds a batch of images [b, 3, h, w] and label maps [b, h', w']."""
        if labels.ndim != 3 or len(labels) != len(images):
            raise MetricError(
                f"{self.network.name}: got label maps of shape {tuple(labels.shape)} for {len(images)} images, "
                f"expected [{len(images)}, h, w]; give one map of class numbers per image"
            )
        self.scores.add(self.network(images, (labels.shape[1], labels.shape[2])), self.network.classes_of(labels))


def _for_frechet(name: str, side: str, images: FeatureSet | Gaussian) -> Gaussian | Tensor:
    """The features where they are fewer than their numbers, and cheaper than a covariance; else mean and covariance."""
    if isinstance(images, Gaussian):
        return images
    if images.features is not None and 2 <= images.count < images.length:
        return images.features
    if images.statistics is None:
        raise MetricError(f"{name}: got no {side} images, expected at least two; add {side} images first")
    return images.statistics.gaussian()


def _mean(values: Tensor) -> Score:
    return float(values.mean()), bootstrap_interval(values.unsqueeze(1), lambda sums: sums[:, 0] / len(values))
