"""A vocoder as in HiFi-GAN, small: mel arrays in, a wave out, weight norm on every convolution."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm


class Residual(nn.Module):
    """Dilated convolutions around a shortcut."""

    def __init__(self, width: int, dilations: tuple[int, ...] = (1, 3)) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            weight_norm(nn.Conv1d(width, width, 3, padding=each, dilation=each)) for each in dilations
        )

    def forward(self, x: Tensor) -> Tensor:
        for conv in self.convs:
            x = x + conv(F.leaky_relu(x, 0.1))
        return x


class Vocoder(nn.Module):
    """Mels [b, mels, frames] to a wave [b, 1, 4 * frames]."""

    def __init__(self, mels: int = 8, width: int = 32) -> None:
        super().__init__()
        self.first = weight_norm(nn.Conv1d(mels, width, 7, padding=3))
        widths = [width, width // 2, width // 4]
        self.ups = nn.ModuleList(weight_norm(nn.ConvTranspose1d(a, b, 4, 2, 1)) for a, b in itertools.pairwise(widths))
        self.blocks = nn.ModuleList(Residual(each) for each in widths[1:])
        self.last = weight_norm(nn.Conv1d(widths[-1], 1, 7, padding=3))

    def forward(self, mel: Tensor) -> Tensor:
        x = self.first(mel)
        for up, block in zip(self.ups, self.blocks, strict=True):
            x = block(up(F.leaky_relu(x, 0.1)))
        return torch.tanh(self.last(F.leaky_relu(x, 0.1)))
