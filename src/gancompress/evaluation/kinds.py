"""Kinds of metrics: of sets, of pairs, of labels, of classes and of latent spaces."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from gancompress.errors import MetricError
from gancompress.evaluation.comparisons import Score, SetComparison
from gancompress.evaluation.inception_score import ClassScores
from gancompress.evaluation.latent import LatentComparison, LatentMeasurement
from gancompress.evaluation.network_spec import NetworkSpec
from gancompress.evaluation.segmentation import LabelScores
from gancompress.perception import LpipsDistance, load_lpips

PairMeasure = Callable[[Tensor, Tensor], Tensor]
Device = torch.device | str


@dataclass(frozen=True)
class SetMetric:
    """Metric of two sets of images.

    Attributes:
        score: Function from a comparison to the score.
        better: Direction of better values.
        resizing: A name in `RESIZES`.
        words: Description of the comparison.
        network: Feature network that the name fixes; None uses the one in the name.
        needs_features: Whether it needs all features and not only statistics.
        content: Whether only the content of the images counts.
    """

    score: Callable[[SetComparison], Score]
    better: Literal["lower", "higher"]
    resizing: str
    words: str
    network: str | None = None
    needs_features: bool = True
    content: bool = False


@dataclass(frozen=True)
class PairMetric:
    """Metric of each image and its target.

    Attributes:
        make: Function from the network's spec, if the name contains one, and the device to the measure.
        better: Direction of better values.
        words: Description of the comparison.
        perceptual: Whether it compares features of a trained network.
        values: Values that it compares: ``images``, clipped to [-1, 1]; ``tensors``, unchanged; or ``any``, images of
            data that holds images and tensors of other data.
    """

    make: Callable[[NetworkSpec | None, Device], PairMeasure]
    better: Literal["lower", "higher"]
    words: str
    perceptual: bool = False
    values: Literal["images", "tensors", "any"] = "images"


@dataclass(frozen=True)
class LabelMetric:
    """Metric of images and their label maps.

    Attributes:
        score: Function from the collected scores to the score.
        better: Direction of better values.
        words: Description of the comparison.
    """

    score: Callable[[LabelScores], Score]
    better: Literal["lower", "higher"]
    words: str


@dataclass(frozen=True)
class ClassMetric:
    """Metric of a classifier's probabilities for the images, without a reference.

    Attributes:
        score: Function from the collected scores to the score.
        better: Direction of better values.
        resizing: A name in `RESIZES`.
        words: Description of the measure.
        network: Classifier that the name fixes; None uses the one in the name.
    """

    score: Callable[[ClassScores], Score]
    better: Literal["lower", "higher"]
    resizing: str
    words: str
    network: str | None = None


@dataclass(frozen=True)
class LatentMetric:
    """Metric of a generator from noise.

    Attributes:
        measure: Function from a comparison to a measurement.
        better: Direction of better values.
        words: Description of the measure.
        lpips: Name of the LPIPS that the name fixes; None uses the network in the name, without learned weights.
        needs_styles: Whether the generator must have styles.
    """

    measure: Callable[[LatentComparison], LatentMeasurement]
    better: Literal["lower", "higher"]
    words: str
    lpips: str | None = None
    needs_styles: bool = False

    def load(self, spec: NetworkSpec | None, device: Device) -> LpipsDistance:
        """Load the perceptual distance.

        Raises:
            CheckpointError: A file cannot be found or read.
            MetricError: The network in the name passes no gradient.
        """
        if self.lpips is not None:
            return load_lpips(self.lpips).to(device)
        assert spec is not None
        if not spec.is_differentiable:
            raise MetricError(
                f"{spec}: got an ONNX network, through which no gradient passes, expected TorchScript for metrics "
                "of latent spaces; save it as such"
            )
        return LpipsDistance(spec.load(device))


Metric = SetMetric | PairMetric | LabelMetric | ClassMetric | LatentMetric
