"""Verification of a search from Python: fine-tuned plans, the correlation of their ranks, and resuming."""

from __future__ import annotations

import pytest
import torch
from scipy import stats

import gancompress as gc
from gancompress.architecture_search import SearchOptions
from gancompress.errors import ConfigError
from tests.methods.networks import mels, vocoder
from tests.methods.test_search import loudness

HOW = {"budget": gc.Budget(reduction=2), "metric": loudness, "batches": mels(2), "plans": 4, "budget_tolerance": 0.2}


def supernet() -> gc.Supernet:
    return gc.Supernet(vocoder(), mels()[0][:1], choices=4, multiple=4)


@torch.no_grad()
def louder(network):
    """Training, in place: the narrower the network, the louder it becomes."""
    network[0].weight.mul_(1 + 100 / network[0].out_channels ** 2)
    return network


def test_ranks_before_and_after_fine_tuning():
    elastic, lines = supernet(), []
    found = gc.verify_search(elastic, louder, **HOW, say=lines.append)
    assert len({each.plan for each in found.plans}) == 4
    before, after = ([getattr(each, when)["metric"] for each in found.plans] for when in ("before", "after"))
    assert found.agreement.spearman == pytest.approx(stats.spearmanr(before, after).statistic)
    for each in found.plans:
        network, batches = elastic.network(each.plan), [{"input": x} for x in mels(2)]
        assert each.before["metric"] == loudness(network, batches)
        assert each.after["metric"] == loudness(louder(network), batches)
    assert str(found).startswith("metric before and after fine-tuning 4 plans: Spearman")
    assert lines[0].startswith("verify: fine-tuning plan 1 of 4, ")


def test_a_stopped_verification_goes_on_with_the_plans_that_are_left(tmp_path):
    trained: list[int] = []

    def failing(network):
        trained.append(network[0].out_channels)
        if len(trained) == 3:
            raise KeyboardInterrupt
        return louder(network)

    with pytest.raises(KeyboardInterrupt):
        gc.verify_search(supernet(), failing, **HOW, out=tmp_path)
    resumed = gc.verify_search(supernet(), failing, **HOW, out=tmp_path)
    assert len(trained) == 5
    assert resumed.plans == gc.verify_search(supernet(), louder, **HOW).plans


def test_what_a_verification_refuses():
    with pytest.raises(ConfigError, match="verify_search: plans: got 3, expected at least 4 for a rank correlation"):
        gc.verify_search(supernet(), louder, **{**HOW, "plans": 3})
    with pytest.raises(ConfigError, match="verify_search: finetune returned NoneType, expected the trained module"):
        gc.verify_search(supernet(), lambda network: None, **HOW)


def test_candidates_that_the_images_cannot_distinguish_are_counted():
    elastic = supernet()
    how = {"budget": gc.Budget(reduction=2), "batches": mels(2), "candidates": 6, "progress": False}
    found = gc.search(elastic, metric=lambda waves: waves.abs().mean((1, 2)), **how)
    values = {each.text: each.metrics["metric"] for each in found.candidates}
    assert len(found.differences) == len(values) - 1
    for each in found.differences:
        assert each.value == pytest.approx(values[each.plan] - found.value, abs=1e-6)
        assert each.low <= each.value <= each.high
    undecided = sum(each.low <= 0 <= each.high for each in found.differences)
    assert f"; {undecided} of the {len(found.differences)} next best cannot be distinguished" in str(found)
    assert gc.search(elastic, metric=loudness, **how).differences is None


def test_a_random_plan_at_the_budget_is_not_measured():
    def fails(network, batches):
        raise AssertionError("measured")

    options = SearchOptions(method="random_at_budget", budget_tolerance=0.2)
    how = {"budget": gc.Budget(reduction=2), "batches": mels(1), "progress": False}
    found = gc.search(supernet(), metric=fails, options=options, **how)
    assert found.value != found.value
    assert str(found).endswith("a random plan, not measured")
