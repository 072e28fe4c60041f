"""Searching a supernet of an own module, by an own metric."""

from __future__ import annotations

import pytest
import torch

import gancompress as gc
from gancompress.channels import materialise
from gancompress.errors import BudgetError, ConfigError, PlanError
from tests.methods.networks import mels, vocoder


def supernet() -> gc.Supernet:
    return gc.Supernet(vocoder(), mels()[0][:1], choices=3)


@torch.no_grad()
def loudness(network, batches) -> float:
    """A metric of (network, batches)."""
    return float(torch.stack([network(batch["input"]).abs().mean() for batch in batches]).mean())


def test_the_best_network_within_the_budget_by_an_own_metric():
    elastic, seen = supernet(), []
    found = gc.search(
        elastic, budget=gc.Budget(reduction=2), metric=loudness, batches=mels(2), candidates=6, progress=seen.append
    )
    values = {each.text: each.metrics["metric"] for each in found.candidates}
    assert found.value == max(values.values())
    assert (
        loudness(elastic.network(max(values, key=values.__getitem__)), [{"input": x} for x in mels(2)]) == found.value
    )
    full = gc.compare(elastic.original, found.module, mels()[0][:1])
    assert found.cost == full["student"].macs <= full["teacher"].macs / 2
    assert torch.equal(found.module(mels()[0]), materialise(elastic.module, elastic.graph, found.plan)(mels()[0]))
    assert seen[-1].done == len(found.candidates)
    assert "the best of" in str(found)


def test_a_metric_of_outputs_and_lower_is_better():
    elastic = supernet()
    macs = gc.compare(elastic.original, elastic.network(0.5), mels()[0][:1])["teacher"].macs / 2
    quiet = gc.search(
        elastic,
        budget=gc.Budget(macs=macs),
        metric=lambda waves: waves.abs().mean((1, 2)),
        better="lower",
        batches=mels(2),
        candidates=6,
        progress=False,
    )
    assert quiet.cost <= macs
    assert quiet.value == min(each.metrics["metric"] for each in quiet.candidates)


def test_by_default_the_metric_is_psnr_to_the_network_and_a_search_goes_on(tmp_path):
    how = {"budget": gc.Budget(reduction=1.5), "batches": mels(2), "progress": False, "out": tmp_path}
    first = gc.search(supernet(), candidates=4, **how)
    measured = []
    again = gc.search(supernet(), candidates=4, **{**how, "progress": lambda p: measured.append(p.done)})
    assert [each.metrics for each in again.candidates] == [each.metrics for each in first.candidates]
    assert measured == [len(first.candidates)]
    assert again.plan == first.plan


def test_plans_by_text_and_fraction():
    elastic = supernet()
    text = elastic.space.text(elastic.space.smallest)
    assert elastic.network(text)(mels()[0]).shape == (4, 1, 128)
    assert elastic.network(0.5)[0].out_channels == 16
    with pytest.raises(PlanError, match="expected one value for each slot"):
        elastic.network("3_3")


@pytest.mark.parametrize(
    ("budget", "metric", "error", "message"),
    [
        (gc.Budget(macs=10), "psnr", BudgetError, "got 10 true MACs, but the smallest reachable cost is"),
        (gc.Budget(reduction=2), "ssim", ConfigError, "metric: got 'ssim', expected 'psnr' or a function"),
        (gc.Budget(reduction=2), lambda a, b, c: 0, ConfigError, "got a function of 3 arguments, expected"),
        (gc.Budget(reduction=2), lambda network, batches: "x", ConfigError, "'metric' returned str, expected a number"),
        (gc.Budget(reduction=2), lambda waves: float("nan"), BudgetError, "no candidate has a finite metric"),
    ],
)
def test_mistakes_have_one_line(budget, metric, error, message):
    with pytest.raises(error, match=message):
        gc.search(supernet(), budget=budget, metric=metric, batches=mels(1), candidates=2, progress=False)
