"""Pictures of outputs of any shape: grids of images, curves of waves, heat maps of everything else."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from gancompress.io import write_atomically
from gancompress.report.grid import sample_grid
from gancompress.report.plots import PALETTE

_LONGEST_WAVE = 2048
"""Values of a curve; longer waves are drawn as spectrograms."""
_MOST_ROWS = 3
_PANEL_INCHES = (3.2, 1.8)
_FLOOR_DB = 80.0


def draw_samples(columns: Mapping[str, Tensor], path: Path) -> None:
    """Write samples side by side as a PNG: as a `sample_grid` if all columns are images, else as plots.

    Args:
        columns: Columns by label, n samples each. Images are as in `sample_grid`, of one aspect ratio; others are waves
            [n, c, length] of one or two channels, or arrays of any shape, of which the mean over leading axes is drawn.
        path: The file, written atomically.
    """
    ratios = {samples.shape[-1] / samples.shape[-2] for samples in columns.values() if _is_image(samples)}
    if all(_is_image(samples) for samples in columns.values()) and len(ratios) == 1:
        sample_grid(columns, path)
        return
    rows = min(_MOST_ROWS, *map(len, columns.values()))
    width, height = _PANEL_INCHES
    figure = Figure(figsize=(width * len(columns), height * rows + 0.3), layout="constrained")
    panels = figure.subplots(rows, len(columns), squeeze=False)
    for place, (label, samples) in enumerate(columns.items()):
        panels[0][place].set_title(label, color=PALETTE["ink"], fontsize=10)
        for row in range(rows):
            _draw(panels[row][place], samples[row].detach().cpu())
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100, metadata={"Software": None})
    write_atomically(path, buffer.getvalue())


def _is_image(samples: Tensor) -> bool:
    return samples.dim() == 4 or (samples.dim() == 3 and not samples.is_floating_point())


def _draw(panel: Axes, sample: Tensor) -> None:
    panel.tick_params(labelsize=7, colors=PALETTE["muted"])
    values = sample.float().nan_to_num(0)
    if values.dim() <= 1 or (values.dim() == 2 and len(values) <= 2):
        wave = values.reshape(-1) if values.dim() < 2 else values[0]
        if len(wave) <= _LONGEST_WAVE:
            panel.plot(wave.numpy(), color=PALETTE["accent"], linewidth=0.8)
            return
        values = _spectrogram(wave)
    while values.dim() > 2:
        values = values.mean(0)
    panel.imshow(np.asarray(values), aspect="auto", origin="lower", cmap="magma", interpolation="nearest")


def _spectrogram(wave: Tensor) -> Tensor:
    """Return the magnitudes of a wave in dB below its loudest, [frequencies, frames]."""
    made = torch.stft(wave, 512, 128, window=torch.hann_window(512), pad_mode="constant", return_complex=True).abs()
    return (20 * (made / made.max().clamp_min(1e-9)).clamp_min(1e-9).log10()).clamp_min(-_FLOOR_DB)
