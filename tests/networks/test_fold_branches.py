"""Folding of re-parameterised blocks: exact, borders included, and only if one convolution is no larger."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from gancompress.networks.fold_branches import TOLERANCE, fold
from tests.networks.reparameterised import FOLDED, KEPT, upscaler


@pytest.mark.parametrize("kind", FOLDED)
@torch.no_grad()
def test_a_block_becomes_one_convolution(kind):
    network = upscaler(kind).double()
    x = torch.randn(2, 3, *([10] if kind == "one_dimension" else [10, 7]), dtype=torch.float64)
    wanted = network(x)

    folded, blocks = fold(network, (x,))

    assert list(blocks) == ["body.0", "body.1"]
    got = folded(x)
    assert (got - wanted).abs().max() <= TOLERANCE * wanted.abs().max()
    assert torch.equal(network(x), wanted)
    block = folded.body[0]
    layers = [each for each in block.modules() if isinstance(each, nn.Conv1d | nn.Conv2d)]
    assert len(layers) == 1 and layers[0].weight.requires_grad
    assert layers[0].groups == (4 if kind == "repvgg_grouped" else 1)
    assert sum(p.numel() for p in folded.parameters()) < sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize("kind", KEPT)
def test_other_blocks_stay(kind):
    network = upscaler(kind)
    assert fold(network, (torch.zeros(1, 3, 8, 8),)) == (network, {})
