"""Teachers that have collapsed are told from those that have not."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from gancompress.data import parse_data
from gancompress.jobs.doubts import doubts_about
from gancompress.networks.generator import Generator
from gancompress.tasks import find_task
from gancompress.tasks.inputs import Inputs


class Fixed(nn.Module):
    """An image of its input: a constant, noise, the input, or its negative at half contrast."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.kind == "noise":
            return torch.randn(x.shape, generator=torch.Generator().manual_seed(len(x)))
        return {"constant": torch.ones_like(x), "input": x, "negative": -x / 2}[self.kind]


class Same(Inputs):
    """Data whose truth is the input."""

    def images(self, *arguments, **options):
        return ({**batch, "target": batch["input"]} for batch in super().images(*arguments, **options))


@pytest.mark.parametrize(
    ("kind", "doubt"),
    [
        ("constant", "the teacher has collapsed: its images of 8 inputs are the same up to 0.0000"),
        ("noise", "the teacher is worse than the mean image: RMSE 1"),
        ("negative", "the teacher is worse than the mean image"),
        ("input", None),
    ],
)
def test_doubts(kind, doubt):
    data = parse_data({"kind": "procedural", "image_size": 16, "num_images": {"train": 8, "search": 4, "test": 8}})
    inputs = Same(find_task("paired", data), data)
    found = doubts_about(Generator.from_module(Fixed(kind)), inputs)
    assert (found == ()) if doubt is None else found[0].startswith(doubt)
    if kind == "negative":  # without a truth only constant images are doubtful
        assert doubts_about(Generator.from_module(Fixed(kind)), replace(inputs, task=find_task("unpaired", data))) == ()
