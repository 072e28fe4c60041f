from __future__ import annotations

import pytest
import torch
from torch import nn

from gancompress.networks.label_input import LabelInput, one_hot
from gancompress.networks.registry import build

LABELS = (torch.arange(2 * 64 * 64) * 7 // 5 % 5).view(2, 64, 64)
CONFIG = {"ngf": 2, "in_channels": 5, "upsampling": "normal"}


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32, torch.int64])
def test_one_hot(dtype: torch.dtype) -> None:
    expected = nn.functional.one_hot(LABELS, 5).movedim(-1, 1)
    assert torch.equal(one_hot(LABELS.to(dtype), 5), expected.float())


def test_a_label_that_is_none_is_zero_everywhere() -> None:
    channels = one_hot(torch.tensor([[[0, 7], [1, 255]]]), 2)
    assert channels.tolist() == [[[[1, 0], [0, 0]], [[0, 0], [1, 0]]]]


@torch.no_grad()
def test_labels_instead_of_channels() -> None:
    network = build("spade", CONFIG).eval()
    assert torch.equal(LabelInput(network, 5)(LABELS), network(one_hot(LABELS, 5)))


@torch.no_grad()
def test_edges_are_the_last_channel() -> None:
    network = build("spade", {**CONFIG, "in_channels": 6}).double().eval()
    edges = LABELS % 2 == 0
    channels = torch.cat([one_hot(LABELS, 5, torch.float64), edges[:, None].double()], 1)
    image = LabelInput(network, 5)(LABELS, edges)
    assert image.dtype == torch.float64
    assert torch.equal(image, network(channels))
    assert not torch.equal(image, LabelInput(network, 5)(LABELS, ~edges))
