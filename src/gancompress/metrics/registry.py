"""The registry: every metric by name. A name fixes the protocol, so numbers under one name compare."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from gancompress.errors import MetricError, nearest
from gancompress.metrics.comparisons import Score, SetComparison
from gancompress.metrics.features import INCEPTION
from gancompress.metrics.images import Size
from gancompress.metrics.inception_score import ClassScores
from gancompress.metrics.pairs import as_network_images, psnr, stored_pairs, structural_similarity
from gancompress.metrics.segmentation import LabelScores
from gancompress.models.trunks import LpipsDistance, load_lpips
from gancompress.models.trunks.network_file import NetworkFile

PairMeasure = Callable[[Tensor, Tensor], Tensor]
Device = torch.device | str

SLOT = "{network}"
"""Stands in a metric's name for the name of a network that the user gives."""


@dataclass(frozen=True)
class NetworkSpec:
    """A network that the user gives, for metrics named after it.

    Attributes:
        path: TorchScript or ONNX file of a network that takes images [b, 3, h, w], RGB in [0, 1]. For ``inception`` the
            published weights.
        size: Height and width it wants, in pixels; None takes images as they are.
        num_classes: Of a segmentation network: how many classes are scored.
        ignore_index: Of a segmentation network: the label of pixels that do not count.
        protocol: Of a segmentation network: all that the two say, and more, by a name in `SEGMENTATION_PROTOCOLS`.
    """

    path: Path
    size: Size | None = None
    num_classes: int | None = None
    ignore_index: int = 255
    protocol: str | None = None


@dataclass(frozen=True)
class SetMetric:
    """A metric of two sets of images.

    Attributes:
        score: From a comparison to the number.
        better: Which way is better.
        resizing: A name in `RESIZES`.
        words: The comparison in words.
        network: The feature network that the name fixes; None takes the one in the name.
        needs_features: Whether statistics are not enough.
    """

    score: Callable[[SetComparison], Score]
    better: Literal["lower", "higher"]
    resizing: str
    words: str
    network: str | None = None
    needs_features: bool = True


@dataclass(frozen=True)
class PairMetric:
    """A metric of each image and its target.

    Attributes:
        make: Builds the measure from the network's spec, where the name has one, and the device.
        better: Which way is better.
        words: The comparison in words.
    """

    make: Callable[[NetworkSpec | None, Device], PairMeasure]
    better: Literal["lower", "higher"]
    words: str


@dataclass(frozen=True)
class LabelMetric:
    """A metric of images and their label maps.

    Attributes:
        score: From the gathered scores to the number.
        better: Which way is better.
        words: The comparison in words.
    """

    score: Callable[[LabelScores], Score]
    better: Literal["lower", "higher"]
    words: str


@dataclass(frozen=True)
class ClassMetric:
    """A metric of what a classifier says of the images, which are compared with nothing.

    Attributes:
        score: From the gathered scores to the number.
        better: Which way is better.
        resizing: A name in `RESIZES`.
        words: The measure in words.
        network: The classifier that the name fixes; None takes the one in the name.
    """

    score: Callable[[ClassScores], Score]
    better: Literal["lower", "higher"]
    resizing: str
    words: str
    network: str | None = None


Metric = SetMetric | PairMetric | LabelMetric | ClassMetric


def _lpips(name: str) -> Callable[[NetworkSpec | None, Device], PairMeasure]:
    return lambda spec, device: _through(load_lpips(name).to(device), device)


def _perceptual(spec: NetworkSpec | None, device: Device) -> PairMeasure:
    assert spec is not None
    return _through(LpipsDistance(NetworkFile(spec.path, device)), device)


def _through(distance: LpipsDistance, device: Device) -> PairMeasure:
    def measure(images: Tensor, targets: Tensor) -> Tensor:
        x, y = stored_pairs(images, targets)
        return distance(as_network_images(x).to(device), as_network_images(y).to(device))

    return measure


_FRECHET = "Frechet distance"
_KERNEL = "kernel distance, cubic polynomial, mean of 100 subsets of at most 1000"
_INCEPTION_SCORE = "Inception Score, mean over 10 splits"
_LPIPS_WORDS = "LPIPS 0.1 over {}, 8-bit images at their own size, mean over images"

METRICS: dict[str, Metric] = {
    "fid": SetMetric(SetComparison.frechet, "lower", "paper", _FRECHET, INCEPTION, needs_features=False),
    "fid_clean": SetMetric(SetComparison.frechet, "lower", "clean", _FRECHET, INCEPTION, needs_features=False),
    "kid": SetMetric(SetComparison.kernel, "lower", "paper", _KERNEL, INCEPTION),
    "kid_clean": SetMetric(SetComparison.kernel, "lower", "clean", _KERNEL, INCEPTION),
    "fd_{network}": SetMetric(SetComparison.frechet, "lower", "clean", _FRECHET, needs_features=False),
    "kd_{network}": SetMetric(SetComparison.kernel, "lower", "clean", _KERNEL),
    "precision_{network}": SetMetric(SetComparison.precision, "higher", "clean", "precision, 3 neighbours"),
    "recall_{network}": SetMetric(SetComparison.recall, "higher", "clean", "recall, 3 neighbours"),
    "inception_score": ClassMetric(ClassScores.inception_score, "higher", "paper", _INCEPTION_SCORE, INCEPTION),
    "is_{network}": ClassMetric(ClassScores.inception_score, "higher", "clean", _INCEPTION_SCORE),
    "miou_{network}": LabelMetric(LabelScores.miou, "higher", "mean intersection over union"),
    "pixel_accuracy_{network}": LabelMetric(
        LabelScores.pixel_accuracy, "higher", "share of pixels with the right class"
    ),
    "psnr": PairMetric(lambda *_: psnr, "higher", "8-bit images, mean of each image's dB"),
    "ssim": PairMetric(lambda *_: structural_similarity, "higher", "8-bit images, Gaussian window 11, sigma 1.5, RGB"),
    "lpips_alex": PairMetric(_lpips("alex"), "lower", _LPIPS_WORDS.format("AlexNet")),
    "lpips_vgg": PairMetric(_lpips("vgg"), "lower", _LPIPS_WORDS.format("VGG-16")),
    "lpips_squeeze": PairMetric(_lpips("squeeze"), "lower", _LPIPS_WORDS.format("SqueezeNet 1.1")),
    "perceptual_{network}": PairMetric(
        _perceptual,
        "lower",
        "LPIPS without learned weights over the maps of the network, 8-bit images, mean over images",
    ),
}


def find_metric(name: str, networks: Iterable[str] = ()) -> tuple[Metric, str | None]:
    """The metric of this name, and the network in the name.

    Args:
        name: A name in `METRICS`, with a given network's name in the place of ``{network}``.
        networks: Names of the networks that are given.

    Returns:
        The metric, and the name of the given network that it is over; None where it needs none.

    Raises:
        MetricError: There is no such metric, or no such network.
    """
    given = list(networks)
    if name in METRICS and SLOT not in name:
        return METRICS[name], None
    prefixes = {key.removesuffix(SLOT): metric for key, metric in METRICS.items() if key.endswith(SLOT)}
    for prefix, metric in prefixes.items():
        network = name.removeprefix(prefix)
        if network != name and network in given:
            return metric, network
    for prefix in prefixes:
        if name.startswith(prefix):
            raise MetricError(
                f"metric {name}: got no network '{name.removeprefix(prefix)}', expected one that is given; "
                + (nearest(name.removeprefix(prefix), given) if given else "name its file under this name")
            )
    possible = [key for key in METRICS if SLOT not in key]
    possible += [prefix + network for prefix in prefixes for network in given or [SLOT]]
    raise MetricError(f"metric: got '{name}', expected a known one; {nearest(name, possible)}")
