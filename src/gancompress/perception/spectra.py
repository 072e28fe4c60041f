"""Spectra of sounds: short-time Fourier magnitudes, mel bands, and distances of both."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from gancompress.errors import InputSizeError
from gancompress.perception.precision import full_precision

SMALLEST = 1e-5
"""Magnitudes below this count as this one in logarithms."""


class Resolution(NamedTuple):
    """Resolution of a short-time Fourier transform, in samples.

    Attributes:
        size: Length of the transform.
        hop: Distance of two frames.
        window: Length of the Hann window.
    """

    size: int
    hop: int
    window: int


RESOLUTIONS = (Resolution(1024, 120, 600), Resolution(2048, 240, 1200), Resolution(512, 50, 240))
"""Resolutions of the multi-resolution distance. Source: Yamamoto et al., Parallel WaveGAN, ICASSP 2020, table 1."""

NUM_MELS = 80
_MEL = Resolution(1024, 256, 1024)
_LINEAR_HZ, _LINEAR_MELS, _OCTAVE = 1000.0, 15.0, math.log(6.4) / 27


@full_precision
def magnitudes(sounds: Tensor, resolution: Resolution) -> Tensor:
    """Return short-time Fourier magnitudes [b, size / 2 + 1, frames]; beyond its ends a sound is silent.

    Args:
        sounds: [b, samples] or [b, channels, samples]; channels count as sounds of their own.
        resolution: Resolution of the transform.

    Raises:
        InputSizeError: The sounds have another number of axes.
    """
    if sounds.dim() not in (2, 3):
        raise InputSizeError(
            f"spectrum: got values of shape {list(sounds.shape)}, expected sounds [b, samples] or [b, channels, "
            "samples]"
        )
    window = torch.hann_window(resolution.window, dtype=sounds.dtype, device=sounds.device)
    flat = sounds.reshape(-1, sounds.shape[-1])
    size, hop, length = resolution
    made = torch.stft(flat, size, hop, length, window, center=True, pad_mode="constant", return_complex=True)
    return torch.view_as_real(made).square().sum(-1).clamp_min(SMALLEST**2).sqrt()


def mel_bands(sample_rate: int, num_mels: int = NUM_MELS, size: int = _MEL.size) -> Tensor:
    """Return triangular filters [num_mels, size / 2 + 1] of equal area, evenly spaced in mels up to half the rate.

    Source: Slaney, Auditory Toolbox 2, 1998: linear below 1 kHz, logarithmic above.
    """
    top = torch.tensor(sample_rate / 2, dtype=torch.float64)
    edges = _hz(torch.linspace(0, float(_mels(top)), num_mels + 2, dtype=torch.float64))
    bins = torch.linspace(0, sample_rate / 2, size // 2 + 1, dtype=torch.float64)
    low, middle, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    triangles = torch.minimum((bins - low) / (middle - low), (high - bins) / (high - middle)).clamp_min(0)
    return (triangles * 2 / (high - low)).float()


def _mels(hz: Tensor) -> Tensor:
    above = _LINEAR_MELS + (hz.clamp_min(_LINEAR_HZ) / _LINEAR_HZ).log() / _OCTAVE
    return torch.where(hz < _LINEAR_HZ, hz * _LINEAR_MELS / _LINEAR_HZ, above)


def _hz(mels: Tensor) -> Tensor:
    above = _LINEAR_HZ * ((mels - _LINEAR_MELS).clamp_min(0) * _OCTAVE).exp()
    return torch.where(mels < _LINEAR_MELS, mels * _LINEAR_HZ / _LINEAR_MELS, above)


@full_precision
def mel_distance(sounds: Tensor, targets: Tensor, sample_rate: int) -> Tensor:
    """Return the mean absolute difference of the logarithms of 80 mel bands, for each item, shape ``(b,)``.

    Args:
        sounds: [b, samples] or [b, channels, samples].
        targets: Sounds of the same shape.
        sample_rate: Samples of a second.

    Source: Kong et al., HiFi-GAN, NeurIPS 2020, equation 4.
    """
    bands = mel_bands(sample_rate).to(sounds.device, sounds.dtype)
    logs = [(bands @ magnitudes(each, _MEL)).clamp_min(SMALLEST).log() for each in (sounds, targets)]
    return (logs[0] - logs[1]).abs().mean((1, 2)).view(len(sounds), -1).mean(1)


@full_precision
def stft_distance(sounds: Tensor, targets: Tensor) -> Tensor:
    """Return the multi-resolution distance of short-time Fourier magnitudes, for each item, shape ``(b,)``.

    Spectral convergence plus the mean absolute difference of logarithms, mean over `RESOLUTIONS`. Arguments as in
    `mel_distance`.

    Source: Yamamoto et al., Parallel WaveGAN, ICASSP 2020, equations 3 to 6.
    """
    total = torch.zeros((), device=sounds.device)
    for resolution in RESOLUTIONS:
        x, y = magnitudes(sounds, resolution), magnitudes(targets, resolution)
        convergence = (y - x).flatten(1).norm(dim=1) / y.flatten(1).norm(dim=1)
        logarithmic = F.l1_loss(x.log(), y.log(), reduction="none").mean((1, 2))
        total = total + (convergence + logarithmic) / len(RESOLUTIONS)
    return total.view(len(sounds), -1).mean(1)
