"""Operators in terms of others compute what they stand for."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from gancompress.deploy.runtimes.decomposed import SLICED_NEAREST
from gancompress.deploy.runtimes.packages import quiet


class Nearest(nn.Module):
    def __init__(self, how: dict[str, Any]):
        super().__init__()
        self.how = how

    def forward(self, images):
        return F.interpolate(images, mode="nearest", **self.how)


@pytest.mark.parametrize(
    ("how", "stays"),
    [
        ({"size": (4, 4)}, 0),
        ({"size": (16, 12)}, 0),
        ({"scale_factor": 0.25}, 0),
        ({"scale_factor": 2}, 1),
        ({"size": (5, 4)}, 1),
        ({"size": (4, 24)}, 1),
    ],
)
def test_the_nearest_pixel_by_slices(how, stays):
    images = torch.rand(2, 3, 16, 12)
    with quiet():
        program = torch.export.export(Nearest(how), (images,)).run_decompositions(SLICED_NEAREST)
        got = program.module()(images)
    assert sum("upsample" in str(node.target) for node in program.graph.nodes) == stays
    assert torch.equal(got, Nearest(how)(images))
