"""Folding of re-parameterised blocks before pruning, and their way into files."""

from __future__ import annotations

import pytest
import torch

import gancompress as gc
from gancompress.errors import CheckpointError, ConfigError
from gancompress.networks.registry import build
from tests.networks.reparameterised import Upscaler, upscaler

X = torch.linspace(-1, 1, 3 * 9 * 7).view(1, 3, 9, 7)


@torch.no_grad()
def test_prune_folds_first_and_the_student_is_read_back(tmp_path):
    network = upscaler("repvgg_strided")
    folded, paths = gc.fold_branches(network, X)
    assert paths == ("body.0", "body.1")
    assert torch.allclose(folded(X), network(X), atol=1e-5)

    small = gc.prune(network, X, keep=0.5, multiple=4)

    assert small.body[0].folded.weight.shape == (4, 4, 3, 3)
    assert small.body[0].act.weight.shape == (4,)
    assert not isinstance(gc.prune(network, X, widths={"enter": 4}).body[0], torch.nn.Sequential)
    gc.save(small, tmp_path)
    assert torch.equal(gc.load_into(Upscaler("repvgg_strided"), tmp_path)(X), small(X))
    with pytest.raises(CheckpointError, match="expected the network that the saved one was made from"):
        gc.load_into(Upscaler("acnet"), tmp_path)
    with pytest.raises(ConfigError, match=r"loadable: .* got folded blocks"):
        gc.prune(folded, X, keep=0.5, loadable={"kind": "repvgg_strided"})


def test_a_network_of_a_family_is_returned_itself():
    network = build("resnet", {"ngf": 8, "num_blocks": 1})
    assert gc.fold_branches(network, torch.zeros(1, 3, 16, 16)) == (network, ())
