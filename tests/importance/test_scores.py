"""Scores against sums written out for one network."""

from __future__ import annotations

import pytest
import torch

from gancompress.channels import trace
from gancompress.errors import ConfigError
from gancompress.importance import SCORES, by_importance, find_score
from tests.channels.cases import make


@pytest.fixture(scope="module")
def residual():
    module, inputs = make("resnet_affine")
    return module.state_dict(), trace(module, inputs)


def filters(weight: torch.Tensor, axis: int) -> torch.Tensor:
    return torch.stack([part.abs().sum() for part in weight.unbind(axis)])


def test_l1_incoming_sums_over_the_residual_stream(residual):
    state, graph = residual
    expected = filters(state["down.1.conv.weight"], 0)
    for i in range(6):
        expected = expected + filters(state[f"blocks.{i}.conv2.weight"], 0)
    torch.testing.assert_close(SCORES["l1_incoming"](state, graph)["down.1.conv"], expected)
    first = SCORES["l1_first_producer"](state, graph)["down.1.conv"]
    torch.testing.assert_close(first, filters(state["down.1.conv.weight"], 0))


def test_l1_outgoing_sums_over_the_readers(residual):
    state, graph = residual
    expected = filters(state["up.0.conv.weight"], 0)  # transposed: the input channels come first
    for i in range(6):
        expected = expected + filters(state[f"blocks.{i}.conv1.weight"], 1)
    torch.testing.assert_close(SCORES["l1_outgoing"](state, graph)["down.1.conv"], expected)


def test_scores_of_a_concatenated_group_read_its_own_positions():
    module, inputs = make("dense_concat")
    graph = trace(module, inputs)
    scores = SCORES["l1_outgoing"](module.state_dict(), graph)
    expected = filters(module.convs[2].weight[:, 16:22], 1) + filters(module.squeeze.weight[:, 16:22], 1)
    torch.testing.assert_close(scores["convs.1"], expected.detach())


def test_scores_of_a_repeated_group_sum_over_its_positions():
    module, inputs = make("super_resolution")
    graph = trace(module, inputs)
    expected = filters(module.up1.weight, 0).view(12, 4).sum(1)
    torch.testing.assert_close(SCORES["l1_incoming"](module.state_dict(), graph)["up1"], expected.detach())


def test_norm_scale_needs_a_scale_in_every_group(residual):
    state, graph = residual
    with pytest.raises(ConfigError, match=r"group 'down.1.conv' has no weights in the role of scale"):
        SCORES["norm_scale"](state, graph)
    module, inputs = make("cartoongan")
    with pytest.raises(ConfigError, match=r"group 'down.0.conv1' has no weights in the role of scale"):
        SCORES["norm_scale"](module.state_dict(), trace(module, inputs))


def test_order_is_descending_and_stable():
    order = by_importance({"g": torch.tensor([1.0, 3.0, 1.0, 2.0])})
    assert order["g"].tolist() == [1, 3, 0, 2]


def test_an_unknown_score_names_the_nearest():
    with pytest.raises(
        ConfigError, match=r"score: got 'l1_incomming', expected a known score; did you mean 'l1_incoming'\?"
    ):
        find_score("l1_incomming")
