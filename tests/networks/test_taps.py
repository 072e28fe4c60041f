"""Taps are found in networks that nobody described."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from gancompress.errors import TraceError
from gancompress.networks.taps import automatic_taps

from ..channels.strangers import SuperResolution, Vocoder


class Unet(nn.Module):
    """Three levels with skips, and attention over the pixels at the bottom."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.ModuleList(nn.Conv2d(3 if i == 0 else 8 << i, 16 << i, 4, 2, 1) for i in range(3))
        self.attend = nn.MultiheadAttention(64, 2, batch_first=True)
        self.up = nn.ModuleList(nn.ConvTranspose2d(64 >> i if i == 0 else 128 >> i, 32 >> i, 4, 2, 1) for i in range(2))
        self.last = nn.ConvTranspose2d(32, 3, 4, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        skips = []
        for down in self.down:
            x = torch.relu(down(x))
            skips.append(x)
        tokens = x.flatten(2).transpose(1, 2)
        x = x + self.attend(tokens, tokens, tokens)[0].transpose(1, 2).view_as(x)
        for up, skip in zip(self.up, reversed(skips[:-1]), strict=True):
            x = torch.cat([torch.relu(up(x)), skip], 1)
        return self.last(x).tanh()


class Deep(nn.Module):
    """Twelve stages of different widths."""

    def __init__(self) -> None:
        super().__init__()
        widths = [3, *range(4, 16), 3]
        self.stages = nn.Sequential(
            *(nn.Sequential(nn.Conv2d(a, b, 3, padding=1), nn.ReLU()) for a, b in pairwise(widths))
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.stages(x)


@pytest.mark.parametrize(
    ("network", "shape", "expected"),
    [
        (Vocoder, (1, 20, 12), ("pre", "res.0.1", "res.1.1")),
        (Unet, (1, 3, 32, 32), ("down.0", "down.1", "down.2", "up.0", "up.1")),
        (SuperResolution, (1, 3, 12, 12), ("first", "n.0", "n.1", "up1", "slope")),
        (lambda: nn.Sequential(nn.Conv3d(1, 4, 3, padding=1), nn.Conv3d(4, 1, 3, padding=1)), (1, 1, 4, 4, 4), ("0",)),
        (lambda: nn.Linear(4, 4), (1, 4), ()),
    ],
    ids=["vocoder", "unet", "upscaler", "volumes", "no maps"],
)
def test_chosen_taps(network, shape, expected):
    assert automatic_taps(network(), (torch.zeros(shape),)) == expected


def test_a_handful_spread_over_depth():
    taps = automatic_taps(Deep(), (torch.zeros(1, 3, 8, 8),))
    assert taps == ("stages.1", "stages.3", "stages.6", "stages.8", "stages.11")


def test_one_wide_stage_is_divided():
    blocks = [nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.ReLU()) for _ in range(6)]
    network = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), *blocks, nn.Conv2d(8, 3, 3, padding=1))
    taps = automatic_taps(network, (torch.zeros(1, 3, 8, 8),))
    assert len(taps) == 3
    assert taps[-1] == "6"


def test_a_forward_pass_that_fails():
    with pytest.raises(TraceError, match=r"taps: the forward pass failed with .*; name the modules to compare in taps"):
        automatic_taps(Vocoder(), (torch.zeros(1, 3, 12),))
