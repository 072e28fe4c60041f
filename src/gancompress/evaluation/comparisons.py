"""Comparisons that metrics are computed on: two sets of images, pairs of images, or images and label maps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from gancompress.errors import MetricError
from gancompress.evaluation.bootstrap import bootstrap_interval
from gancompress.evaluation.features import FeatureNetwork, FeatureSet
from gancompress.evaluation.frechet import FrechetReference
from gancompress.evaluation.kernel_distance import kernel_distance
from gancompress.evaluation.precision_recall import precision_recall
from gancompress.evaluation.segmentation import LabelScores, SegmentationNetwork
from gancompress.evaluation.statistics import Gaussian

Score = tuple[float, tuple[float, float] | None]
"""A value and its 95 % interval."""


@dataclass
class SetComparison:
    """Comparison of generated and reference images through one feature network."""

    network: FeatureNetwork
    generated: FeatureSet = field(default_factory=FeatureSet)
    reference: FeatureSet | Gaussian = field(default_factory=FeatureSet)
    _frechet: FrechetReference | None = None

    def add_reference(self, images: Tensor, names: Sequence[str] = ()) -> None:
        """Add a batch of reference images. Raises MetricError if the reference is given as stored statistics."""
        self._reference_set("more reference images").add(self.network(images, names))
        self._frechet = None

    def use_reference(self, reference: FeatureSet | Gaussian) -> None:
        """Set the reference to kept features or stored statistics."""
        self.reference = reference
        self._frechet = None

    @property
    def num_reference_images(self) -> int | None:
        """Number of reference images; None if stored statistics do not record it."""
        return self.reference.count

    def frechet(self) -> Score:
        """Return the Frechet distance, without interval: resampling inflates it. Raises MetricError without images."""
        if self._frechet is None:
            self._frechet = FrechetReference(_for_frechet(self.network.name, "reference", self.reference))
        return self._frechet.distance(_for_frechet(self.network.name, "generated", self.generated)), None

    def kernel(self) -> Score:
        """Return the kernel distance. Raises MetricError if there are too few images or features were not kept."""
        return kernel_distance(*self._features("the kernel distance"))

    def precision(self) -> Score:
        """Return the share of generated images among the real ones. Raises MetricError as `kernel`."""
        return _mean(precision_recall(*self._features("precision"))[0])

    def recall(self) -> Score:
        """Return the share of real images among the generated ones. Raises MetricError as `kernel`."""
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
    """Comparison of each image with its target.

    Attributes:
        measure: Function from images and targets [b, 3, h, w] to values [b].
        values: The values of each batch.
    """

    measure: Callable[[Tensor, Tensor], Tensor]
    values: list[Tensor] = field(default_factory=list)

    def add(self, images: Tensor, targets: Tensor) -> None:
        """Add a batch of images and targets [b, 3, h, w]. Raises MetricError if their shapes or kinds do not fit."""
        with torch.inference_mode():
            values = self.measure(images, targets)
        if not isinstance(values, Tensor) or values.shape != (len(images),):
            got = (
                f"values of shape {list(values.shape)}" if isinstance(values, Tensor) else f"a {type(values).__name__}"
            )
            raise MetricError(f"metric: got {got}, expected a tensor with one value for each of {len(images)} items")
        self.values.append(values.double().cpu())

    @property
    def count(self) -> int:
        """Number of pairs."""
        return len(self.all_values())

    def all_values(self) -> Tensor:
        """Return the value of each pair, float64, shape ``(n,)``."""
        return torch.cat([torch.zeros(0, dtype=torch.float64), *self.values])

    def mean(self) -> Score:
        """Return the mean over pairs. Raises MetricError without any."""
        if not self.count:
            raise MetricError("pairs: got no images, expected at least one; give images with targets")
        return _mean(self.all_values())


@dataclass
class LabelComparison:
    """Comparison of images with label maps through one segmentation network."""

    network: SegmentationNetwork
    scores: LabelScores

    def add(self, images: Tensor, labels: Tensor) -> None:
        """Add a batch of images [b, 3, h, w] and label maps [b, h', w']."""
        if labels.ndim != 3 or len(labels) != len(images):
            raise MetricError(
                f"{self.network.name}: got label maps of shape {tuple(labels.shape)} for {len(images)} images, "
                f"expected [{len(images)}, h, w]; give one map of class numbers per image"
            )
        self.scores.add(self.network(images, (labels.shape[1], labels.shape[2])), self.network.classes_of(labels))


def _for_frechet(name: str, side: str, images: FeatureSet | Gaussian) -> Gaussian | Tensor:
    """Return features if there are fewer images than feature dimensions, which is cheaper; else the Gaussian."""
    if isinstance(images, Gaussian):
        return images
    if images.features is not None and 2 <= images.count < images.length:
        return images.features
    if images.statistics is None:
        raise MetricError(f"{name}: got no {side} images, expected at least two; add {side} images first")
    return images.statistics.gaussian()


def _mean(values: Tensor) -> Score:
    return float(values.mean()), bootstrap_interval(values.unsqueeze(1), lambda sums: sums[:, 0] / len(values))
