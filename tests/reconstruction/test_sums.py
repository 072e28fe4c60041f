"""Sums that outputs of layers end in."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from gancompress.reconstruction.sums import Point, Sum, Sums
from tests.channels.cases import make


class Block(nn.Module):
    def __init__(self, how: str) -> None:
        super().__init__()
        self.conv, self.act, self.how = nn.Conv2d(3, 3, 1), nn.ReLU(), how

    def forward(self, x: Tensor) -> Tensor:
        branch = self.conv(x if self.how == "two terms" else self.act(x))
        match self.how:
            case "plain":
                return x + branch
            case "scaled":
                return (branch * 0.5 + x) * 2
            case "alpha":
                return torch.add(x, branch, alpha=0.25)
            case "two terms":
                return x + (self.act(x) + branch)
            case "read twice":
                return x + branch + branch.mean()
            case "activated":
                return x + self.act(branch)
            case "broadcast":
                return x.mean((2, 3), keepdim=True) + branch
            case "written over":
                return (x + branch).relu_()
        raise AssertionError


X, OUT = Point("act", "input"), Point("", "output")
EXPECTED = {
    "plain": Sum(OUT, 1, ((X, 1),)),
    "scaled": Sum(OUT, 1, ((X, 2),)),
    "alpha": Sum(OUT, 0.25, ((X, 1),)),
    "two terms": Sum(OUT, 1, ((Point("act", "output"), 1), (Point("conv", "input"), 1))),
    "read twice": None,
    "activated": None,
    "broadcast": None,
    "written over": None,
}


@pytest.mark.parametrize("how", EXPECTED)
def test_a_block(how):
    assert Sums(Block(how), (torch.zeros(1, 3, 4, 4),)).of("conv") == EXPECTED[how]


def test_a_block_within_a_block():
    network, inputs = make("rrdbnet")
    sums = Sums(network, inputs)
    inner, outer = sums.of("body.0.rdb1.conv5"), sums.of("body.0.rdb3.conv5")
    assert inner is not None
    assert (inner.total, inner.scale) == (Point("body.0.rdb1", "output"), pytest.approx(0.2))
    assert outer is not None
    assert (outer.total, outer.scale) == (Point("body.0", "output"), pytest.approx(0.04))
    assert [factor for _, factor in outer.terms] == [pytest.approx(0.2), 1]
    assert sums.of("body.0.rdb1.conv1") is None
    assert sums.of("conv_last") is None
