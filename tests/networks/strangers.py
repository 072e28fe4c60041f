"""Networks that no family knows, as a user might bring them."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Stranger(nn.Module):
    """A grouped convolution, an ordinary buffer, and one that no state dict holds."""

    offset: Tensor

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.enter = nn.Conv2d(3, width, 1)
        self.middle = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.norm = nn.BatchNorm2d(width)
        self.leave = nn.Conv2d(width, 3, 1)
        self.register_buffer("offset", torch.full((1,), 0.25), persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        return self.leave(self.norm(self.middle(self.enter(image)))) + self.offset


class Tied(nn.Module):
    """Two convolutions with one weight."""

    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 1)
        self.second = nn.Conv2d(width, width, 1)
        self.second.weight = self.first.weight

    def forward(self, features: Tensor) -> Tensor:
        return self.second(self.first(features))


class Wrapped(nn.Module):
    """A network with a part of its own called "module"."""

    def __init__(self) -> None:
        super().__init__()
        self.module = nn.Conv2d(3, 3, 1)

    def forward(self, image: Tensor) -> Tensor:
        return self.module(image)
