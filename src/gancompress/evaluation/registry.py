"""Registry of metrics. A name fixes the protocol, so values under one name are comparable."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, cast

from torch import Tensor

from gancompress.errors import ConfigError, MetricError, nearest
from gancompress.evaluation.comparisons import SetComparison
from gancompress.evaluation.inception_score import ClassScores
from gancompress.evaluation.kinds import (
    ClassMetric,
    Device,
    LabelMetric,
    LatentMetric,
    Metric,
    NetworkSpec,
    PairMeasure,
    PairMetric,
    SetMetric,
)
from gancompress.evaluation.latent import PATHS, LatentComparison
from gancompress.evaluation.network_spec import INCEPTION
from gancompress.evaluation.pairs import as_network_images, psnr, sharpness_gap, stored_pairs, structural_similarity
from gancompress.evaluation.segmentation import LabelScores
from gancompress.evaluation.tensors import (
    SAMPLE_RATES,
    mel_distance,
    psnr_of_range,
    relative_error,
    signal_to_noise,
    stft_distance,
)
from gancompress.perception import LpipsDistance, load_lpips
from gancompress.perception.network_file import NetworkFile
from gancompress.registry import Registry

SLOT = "{network}"
"""Placeholder in a metric's name for the name of a network that the user gives."""


def _lpips(name: str) -> Callable[[NetworkSpec | None, Device], PairMeasure]:
    return lambda spec, device: _through(load_lpips(name).to(device), device)


def perceptual_distance(path: str | Path, device: Device) -> PairMeasure:
    """Return LPIPS without learned weights over the maps of a network (Zhang et al., CVPR 2018).

    Args:
        path: TorchScript or ONNX file of a network that takes images [b, 3, h, w], RGB in [0, 1], and returns its maps.
        device: Device of the network.

    Returns:
        A function of two batches of images in [-1, 1] that returns the distance of each pair.

    Raises:
        CheckpointError: The file cannot be found or read.
    """
    return _through(LpipsDistance(NetworkFile(path, device)), device)


def _perceptual(spec: NetworkSpec | None, device: Device) -> PairMeasure:
    assert spec is not None
    return _through(LpipsDistance(spec.load(device)), device)


def _through(distance: LpipsDistance, device: Device) -> PairMeasure:
    def measure(images: Tensor, targets: Tensor) -> Tensor:
        x, y = stored_pairs(images, targets)
        return distance(as_network_images(x).to(device), as_network_images(y).to(device))

    return measure


_FRECHET = "Frechet distance"
_KERNEL = "kernel distance, cubic polynomial, mean of 100 subsets of at most 1000"
_INCEPTION_SCORE = "Inception Score, mean over 10 splits"
_LPIPS_WORDS = "LPIPS 0.1 over {}, 8-bit images at their own size, mean over images"

_MEL_WORDS = "natural logarithms of 80 mel bands up to half of {:,} Hz, window 1024, hop 256, mean absolute difference"
_TENSORS: dict[str, Metric] = {
    "relative_error": PairMetric(
        lambda *_: relative_error, "lower", "norm of the difference over that of the target", values="tensors"
    ),
    "snr": PairMetric(lambda *_: signal_to_noise, "higher", "power of target over difference, dB", values="tensors"),
    "psnr_range": PairMetric(
        lambda *_: psnr_of_range, "higher", "peak: the range of each target, mean of each item's dB", values="tensors"
    ),
    "stft_distance": PairMetric(
        lambda *_: stft_distance,
        "lower",
        "spectral convergence and log magnitudes, mean over transforms of 512, 1024 and 2048 samples",
        values="tensors",
    ),
    **{
        f"mel_distance_{name}": PairMetric(
            lambda *_, rate=rate: partial(mel_distance, sample_rate=rate),
            "lower",
            _MEL_WORDS.format(rate),
            values="tensors",
        )
        for name, rate in SAMPLE_RATES.items()
    },
}
"""Metrics of outputs of any shape and range; those of spectra are for sounds [b, channels, samples]."""

_LATENT: dict[str, LatentMetric] = {
    **{
        name: LatentMetric(
            partial(LatentComparison.path, protocol=path), "lower", path.words, needs_styles=path.space == "w"
        )
        for name, path in PATHS.items()
    },
    "morph_step": LatentMetric(LatentComparison.morph_step, "lower", "mean perceptual step of a morph"),
    "morph_jump": LatentMetric(
        LatentComparison.morph_jump, "lower", "largest over mean perceptual step of a morph; 1 is even"
    ),
    "projection_psnr": LatentMetric(
        LatentComparison.projection_psnr, "higher", "projected real images, 8 bits, mean of each image's dB"
    ),
    "projection_lpips": LatentMetric(
        LatentComparison.projection_distance, "lower", "perceptual distance of projected real images, 8 bits"
    ),
}
"""Metrics of latent spaces. Plain names use LPIPS over VGG-16; names with a network use that network."""

_OWN: dict[str, Metric] = {
    "fid": SetMetric(SetComparison.frechet, "lower", "paper", _FRECHET, INCEPTION, needs_features=False),
    "fid_clean": SetMetric(SetComparison.frechet, "lower", "clean", _FRECHET, INCEPTION, needs_features=False),
    "fid_content": SetMetric(
        SetComparison.frechet, "lower", "paper", _FRECHET, INCEPTION, needs_features=False, content=True
    ),
    "kid": SetMetric(SetComparison.kernel, "lower", "paper", _KERNEL, INCEPTION),
    "kid_clean": SetMetric(SetComparison.kernel, "lower", "clean", _KERNEL, INCEPTION),
    "fd_{network}": SetMetric(SetComparison.frechet, "lower", "clean", _FRECHET, needs_features=False),
    "kd_{network}": SetMetric(SetComparison.kernel, "lower", "clean", _KERNEL),
    "fd_{network}_content": SetMetric(
        SetComparison.frechet, "lower", "clean", _FRECHET, needs_features=False, content=True
    ),
    "kd_{network}_content": SetMetric(SetComparison.kernel, "lower", "clean", _KERNEL, content=True),
    "precision_{network}": SetMetric(SetComparison.precision, "higher", "clean", "precision, 3 neighbours"),
    "recall_{network}": SetMetric(SetComparison.recall, "higher", "clean", "recall, 3 neighbours"),
    "inception_score": ClassMetric(ClassScores.inception_score, "higher", "paper", _INCEPTION_SCORE, INCEPTION),
    "is_{network}": ClassMetric(ClassScores.inception_score, "higher", "clean", _INCEPTION_SCORE),
    "miou_{network}": LabelMetric(LabelScores.miou, "higher", "mean intersection over union"),
    "pixel_accuracy_{network}": LabelMetric(
        LabelScores.pixel_accuracy, "higher", "share of pixels with the right class"
    ),
    "psnr": PairMetric(lambda *_: psnr, "higher", "8-bit images, mean of each image's dB"),
    "sharpness_gap": PairMetric(
        lambda *_: sharpness_gap, "lower", "8-bit images, mean absolute Laplacian, mean of each image's octaves"
    ),
    "ssim": PairMetric(lambda *_: structural_similarity, "higher", "8-bit images, Gaussian window 11, sigma 1.5, RGB"),
    "lpips_alex": PairMetric(_lpips("alex"), "lower", _LPIPS_WORDS.format("AlexNet"), perceptual=True),
    "lpips_vgg": PairMetric(_lpips("vgg"), "lower", _LPIPS_WORDS.format("VGG-16"), perceptual=True),
    "lpips_squeeze": PairMetric(_lpips("squeeze"), "lower", _LPIPS_WORDS.format("SqueezeNet 1.1"), perceptual=True),
    **_TENSORS,
    **{name: replace(metric, lpips="vgg") for name, metric in _LATENT.items()},
    **{f"{name}_{SLOT}": metric for name, metric in _LATENT.items()},
    "perceptual_{network}": PairMetric(
        _perceptual,
        "lower",
        "LPIPS without learned weights over the maps of the network, 8-bit images, mean over images",
        perceptual=True,
    ),
}


class MetricRegistry(Registry[Metric]):
    """Registry of metrics by name."""

    def check(self, path: str, found: Any) -> Metric:
        """Return a metric; a function of outputs and targets becomes a `PairMetric`.

        Of data that holds images both are [b, 3, h, w] in [-1, 1]; of other data they are unchanged. The function's
        attribute ``better``, "lower" by default, gives the direction of better values.
        """
        if isinstance(found, Metric):
            return found
        if callable(found) and not isinstance(found, type):
            measure = cast(PairMeasure, found)
            better: Literal["lower", "higher"] = getattr(found, "better", "lower")
            return PairMetric(lambda *_: measure, better, f"{path}, mean over items", values="any")
        raise ConfigError(f"{path}: got a {type(found).__name__}, expected a metric or a function of two batches")


METRICS = MetricRegistry("metrics", "a known metric")
"""Every metric by its name."""

for _name, _metric in _OWN.items():
    METRICS.register(_name)(_metric)

register_metric = METRICS.register
"""Return a decorator that adds a metric, or a function of images and targets, under a name."""


def find_metric(name: str, networks: Iterable[str] = ()) -> tuple[Metric, str | None]:
    """Return the metric of this name, and the network in the name.

    Args:
        name: A name in `METRICS`, with a given network's name instead of ``{network}``; or an import path.
        networks: Names of the networks that are given.

    Returns:
        The metric, and the name of the given network in its name; None for metrics without one.

    Raises:
        MetricError: There is no such metric, or no such network.
    """
    given = list(networks)
    if name in METRICS and SLOT not in name:
        return METRICS[name], None
    if ":" in name:
        try:
            return METRICS.find(name, "metric"), None
        except ConfigError as error:
            raise MetricError(str(error)) from None
    found = [(METRICS[key], network) for key in METRICS if (network := _in_slot(key, name))]
    for metric, network in found:
        if network in given:
            return metric, network
    if found:
        network = min((network for _, network in found), key=len)
        raise MetricError(
            f"metric {name}: got no network '{network}', expected one that is given; "
            + (nearest(network, given) if given else "name its file under this name")
        )
    possible = [key.replace(SLOT, network) for key in METRICS for network in given or [SLOT]]
    raise MetricError(f"metric: got '{name}', expected a known one; {nearest(name, dict.fromkeys(possible))}")


def find_perceptual(names: Iterable[str], networks: Mapping[str, NetworkSpec], device: Device) -> PairMeasure | None:
    """Return the first perceptual distance among metrics; None if there is none.

    Args:
        names: Names of metrics.
        networks: Networks by their names in the metrics.
        device: Device of the network.

    Raises:
        MetricError: There is no such metric, or no such network.
        CheckpointError: A network's file cannot be found or read.
    """
    for name in names:
        metric, network = find_metric(name, networks)
        if isinstance(metric, PairMetric) and metric.perceptual:
            return metric.make(networks[network] if network else None, device)
    return None


def _in_slot(key: str, name: str) -> str | None:
    """Extract the network from a metric's name by a key with a placeholder; None if they differ elsewhere."""
    before, slot, after = key.partition(SLOT)
    if not slot or not name.startswith(before) or not name.endswith(after):
        return None
    return name[len(before) : len(name) - len(after)] or None
