"""Metrics of outputs of any shape and range, against torchmetrics and NumPy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torchmetrics.functional.audio import signal_noise_ratio
from torchmetrics.functional.image import peak_signal_noise_ratio

from gancompress.errors import MetricError
from gancompress.evaluation import Evaluator
from gancompress.evaluation.tensors import SAMPLE_RATES
from gancompress.perception.spectra import RESOLUTIONS, SMALLEST, Resolution, magnitudes, mel_bands


def sounds(seed, count=3, length=3000):
    return torch.rand(count, 1, length, generator=torch.Generator().manual_seed(seed)) * 20 - 5


def measured(name, outputs, targets):
    evaluator = Evaluator([name], holds_images=False)
    evaluator.add(outputs, targets)
    return evaluator.results()[0]


def test_against_torchmetrics():
    x, y = sounds(0), sounds(1)
    assert measured("snr", x, y).value == pytest.approx(signal_noise_ratio(x, y).mean().item(), rel=1e-5)
    ranges = [(float(each.min()), float(each.max())) for each in y]
    psnrs = [
        peak_signal_noise_ratio(a, b, data_range=high - low).item()
        for a, b, (low, high) in zip(x, y, ranges, strict=True)
    ]
    assert measured("psnr_range", x, y).value == pytest.approx(np.mean(psnrs), rel=1e-5)


def test_of_any_shape():
    y = torch.arange(1.0, 25).view(2, 3, 2, 2, 1)
    assert measured("relative_error", 1.5 * y, y).value == pytest.approx(0.5)
    assert measured("snr", 0.9 * y, y).value == pytest.approx(20)
    assert measured("snr", y, y).value == 100
    assert measured("relative_error", y * 0 + 1, y * 0).value > 1e30
    assert measured("relative_error", y, y).better == "lower"
    assert measured("tests.outside.gap:gap", y[..., 0] + 3, y[..., 0]).value == 3  # not clipped
    with pytest.raises(
        MetricError, match=r"got values of shape \[2, 1\], expected a tensor with one value for each of 2"
    ):
        measured("tests.outside.gap:gap", y, y)


def reference_magnitudes(sound, resolution):
    size, hop, length = resolution
    window = np.zeros(size)
    start = (size - length) // 2
    window[start : start + length] = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / length)
    padded = np.pad(sound, size // 2)
    frames = [padded[first : first + size] * window for first in range(0, len(sound) + 1, hop)]
    return np.maximum(np.abs(np.fft.rfft(frames)), SMALLEST).T


@pytest.mark.parametrize("resolution", [*RESOLUTIONS, Resolution(1024, 256, 1024)])
def test_magnitudes_are_those_of_numpy(resolution):
    x = sounds(0, count=1)
    np.testing.assert_allclose(
        magnitudes(x, resolution)[0], reference_magnitudes(x[0, 0].double().numpy(), resolution), rtol=2e-3, atol=2e-3
    )


def test_the_distance_of_spectra_is_that_of_the_formula():
    x, y = sounds(0, count=1), sounds(1, count=1)
    expected = []
    for resolution in RESOLUTIONS:
        a, b = (reference_magnitudes(each[0, 0].double().numpy(), resolution) for each in (x, y))
        expected.append(np.linalg.norm(b - a) / np.linalg.norm(b) + np.abs(np.log(a) - np.log(b)).mean())
    assert measured("stft_distance", x, y).value == pytest.approx(np.mean(expected), rel=1e-4)


def test_mel_bands():
    bands = mel_bands(22_050, 80, 65536).double()
    width = 22_050 / 65536
    torch.testing.assert_close(bands.sum(1) * width, torch.ones(80, dtype=torch.double), rtol=2e-3, atol=0)
    peaks = bands.argmax(1) * width
    steps = peaks.diff()
    below = peaks[1:] < 1000
    assert steps[below].max() - steps[below].min() < 2 * width  # linear below 1 kHz
    ratios = peaks[peaks > 1100].log().diff()
    assert ratios.max() - ratios.min() < 1e-3  # logarithmic above
    mels = 15 + math.log(11_025 / 1000) * 27 / math.log(6.4)
    assert peaks[0] == pytest.approx(1000 / 15 * mels / 81, abs=width)


def test_a_gain_moves_every_mel_by_its_logarithm():
    x = sounds(3)
    for name in SAMPLE_RATES:
        assert measured(f"mel_distance_{name}", x, 2 * x).value == pytest.approx(math.log(2), rel=1e-3)


@pytest.mark.parametrize(
    ("name", "outputs", "message"),
    [
        ("snr", torch.zeros(2, 3), r"got outputs of shape \[2, 3\] and targets of \[2, 4\], expected equal ones"),
        ("snr", torch.full((2, 4), torch.nan), "got outputs that are not finite"),
        ("stft_distance", torch.zeros(2, 3, 4, 4), r"got values of shape \[2, 3, 4, 4\], expected sounds"),
    ],
)
def test_what_cannot_be_compared(name, outputs, message):
    targets = torch.ones(2, 4) if outputs.dim() == 2 else outputs
    with pytest.raises(MetricError, match=message):
        measured(name, outputs, targets)
