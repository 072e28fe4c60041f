"""Distances of each output of any shape and range to its own target, such as the teacher's output."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from gancompress.errors import GanCompressError, MetricError, NotFiniteError
from gancompress.evaluation.pairs import LARGEST_PSNR_DB
from gancompress.perception import spectra

SAMPLE_RATES = {"16k": 16_000, "22k": 22_050, "24k": 24_000, "32k": 32_000, "44k": 44_100, "48k": 48_000}
"""Samples of a second by the ends of the names of metrics."""


def relative_error(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the Euclidean norm of each difference over that of the target, shape ``(b,)``; 0 for equal outputs.

    Args:
        outputs: Tensors [b, ...] of any shape and range.
        targets: Tensors of the same shape.

    Raises:
        MetricError: The shapes differ, or outputs are not finite.
    """
    x, y = _pairs(outputs, targets)
    return (x - y).norm(dim=1) / y.norm(dim=1).clamp_min(torch.finfo(y.dtype).tiny)


def signal_to_noise(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the power of each target over that of the difference, in dB, at most 100; else as `relative_error`."""
    return _decibels(*_pairs(outputs, targets), lambda y: y.square().mean(1))


def psnr_of_range(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the PSNR of each pair, its peak the range of the target, at most 100 dB; else as `relative_error`."""
    return _decibels(*_pairs(outputs, targets), lambda y: (y.amax(1) - y.amin(1)).square())


def mel_distance(outputs: Tensor, targets: Tensor, sample_rate: int) -> Tensor:
    """Return the distance of log-mel spectra. Raises MetricError as `relative_error`, or for outputs of other axes."""
    return _of_sounds(partial(spectra.mel_distance, sample_rate=sample_rate), outputs, targets)


def stft_distance(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the multi-resolution distance of magnitudes. Raises MetricError as `mel_distance`."""
    return _of_sounds(spectra.stft_distance, outputs, targets)


def _of_sounds(measure: Callable[[Tensor, Tensor], Tensor], outputs: Tensor, targets: Tensor) -> Tensor:
    _pairs(outputs, targets)
    try:
        return measure(outputs.float(), targets.to(outputs.device).float())
    except GanCompressError as error:
        raise MetricError(str(error)) from None


def _decibels(x: Tensor, y: Tensor, power: Callable[[Tensor], Tensor]) -> Tensor:
    noise = (x - y).square().mean(1)
    return (
        (10 * (power(y) / noise).log10())
        .nan_to_num(nan=LARGEST_PSNR_DB, posinf=LARGEST_PSNR_DB)
        .clamp_max(LARGEST_PSNR_DB)
    )


def _pairs(outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    if outputs.shape != targets.shape:
        raise MetricError(
            f"pairs: got outputs of shape {list(outputs.shape)} and targets of {list(targets.shape)}, expected equal "
            "ones; compare with the teacher's"
        )
    if not bool(outputs.isfinite().all()):
        raise NotFiniteError("pairs: got outputs that are not finite, expected finite ones; look at the losses")
    return outputs.double().flatten(1), targets.to(outputs.device).double().flatten(1)
