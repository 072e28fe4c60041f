"""Networks and data as a user would write them: instances, closures, no importable class."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def image_network(width: int = 16, seed: int = 0) -> nn.Module:
    """A small residual network on images [b, 3, h, w], its class local and its arguments a closure."""
    torch.manual_seed(seed)
    activation = nn.LeakyReLU(0.1)

    class Mine(nn.Module):
        def __init__(self, act) -> None:
            super().__init__()
            self.enter = nn.Conv2d(3, width, 3, padding=1)
            self.norm = nn.BatchNorm2d(width)
            self.blocks = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in range(2))
            self.leave = nn.Conv2d(width, 3, 3, padding=1)
            self.act = act

        def forward(self, x: Tensor) -> Tensor:
            h = self.act(self.norm(self.enter(x)))
            for block in self.blocks:
                h = h + self.act(block(h))
            return torch.tanh(self.leave(h))

    return Mine(activation).eval()


def vocoder(seed: int = 0) -> nn.Module:
    """From mel arrays [b, 20, t] to waves [b, 1, 4 t]."""
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv1d(20, 32, 7, padding=3),
        nn.LeakyReLU(0.1),
        nn.ConvTranspose1d(32, 16, 4, 2, 1),
        nn.LeakyReLU(0.1),
        nn.ConvTranspose1d(16, 16, 4, 2, 1),
        nn.LeakyReLU(0.1),
        nn.Conv1d(16, 1, 7, padding=3),
        nn.Tanh(),
    ).eval()


def images(number: int = 4, batch: int = 4, side: int = 16, seed: int = 1) -> list[Tensor]:
    draw = torch.Generator().manual_seed(seed)
    return [torch.rand(batch, 3, side, side, generator=draw) * 2 - 1 for _ in range(number)]


def mels(number: int = 4, batch: int = 4, frames: int = 32, seed: int = 1) -> list[Tensor]:
    draw = torch.Generator().manual_seed(seed)
    return [torch.randn(batch, 20, frames, generator=draw) for _ in range(number)]
