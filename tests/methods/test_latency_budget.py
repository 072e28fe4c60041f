"""Budgets in milliseconds from Python: what is timed, what is chosen, and what is refused."""

from __future__ import annotations

import sys

import pytest
import torch
from torch import nn

import gancompress as gc
from gancompress.errors import BudgetError, ConfigError, ExportError
from tests.methods.networks import image_network, images, mels, vocoder


@pytest.fixture
def timed(tmp_path, monkeypatch):
    """In place of a runtime: milliseconds of a module from the number of its weights; the list of what was timed."""
    numbers: list[int] = []

    def times(modules, shapes, target, say=print):
        found = [sum(p.numel() for p in module.parameters()) for module in modules]
        numbers.extend(found)
        return [1 + number / 1e3 for number in found]

    monkeypatch.setenv("GANCOMPRESS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("gancompress.deploy.latency.learn.times_of", times)
    monkeypatch.setattr("gancompress.methods.costs.measure_network", lambda generator, example, target: 7.5)
    return numbers


def eager(ms: float) -> gc.Budget:
    return gc.Budget(latency_ms=ms, runtime="eager", threads=1)


def test_pruning_to_milliseconds(timed):
    network, x = image_network(), images()[0]
    widths = [gc.prune(network, x, budget=eager(ms), multiple=1).enter.out_channels for ms in (3, 5, 7)]
    assert widths == sorted(set(widths))
    number = len(timed)
    assert number
    gc.prune(network, x, budget=eager(4), multiple=1)
    assert len(timed) == number  # the cache of this machine has them all


def test_a_search_by_milliseconds_measures_what_it_found_and_goes_on(timed, tmp_path):
    elastic = gc.Supernet(vocoder(), mels()[0], choices=3)
    how = {"budget": eager(6), "batches": mels(2), "candidates": 4, "progress": False, "out": tmp_path / "run"}
    found = gc.search(elastic, **how)
    assert found.unit == "ms (eager, 1 threads)"
    assert found.cost <= 6
    assert (found.latency.measured_ms, found.latency.predicted_ms) == (7.5, found.cost)
    assert str(found).endswith("; 7.50 ms measured")
    number = len(timed)
    (tmp_path / "cache" / "latency").rename(tmp_path / "elsewhere")
    again = gc.search(elastic, **how)
    assert again.plan == found.plan
    assert len(timed) == number  # from the directory of the run


def test_a_budget_below_the_narrowest_plan(timed):
    message = r"budget: got 0\.50 ms \(eager, 1 threads\), but the smallest reachable cost is \d+\.\d\d ms"
    with pytest.raises(BudgetError, match=message) as error:
        gc.prune(image_network(), images()[0], budget=eager(0.5))
    assert "\n" not in str(error.value)
    with pytest.raises(BudgetError, match=message):
        gc.search(gc.Supernet(vocoder(), mels()[0]), budget=eager(0.5), batches=mels(1), progress=False)


class Two(nn.Module):
    """A network of two inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.leave = nn.Conv1d(2, 16, 1), nn.Conv1d(2, 16, 1), nn.Conv1d(16, 1, 1)

    def forward(self, x, y):
        return self.leave(self.a(x) + self.b(y))


def test_mistakes_have_one_line(monkeypatch):
    x = torch.randn(1, 2, 8)
    with pytest.raises(ConfigError, match="budget: got latency_ms for a network of 2 inputs, expected one tensor"):
        gc.prune(Two(), (x, x), budget=eager(5))
    with pytest.raises(ConfigError, match="runtime: got 'openvin', expected a known one; did you mean 'openvino'"):
        gc.Budget(latency_ms=5, runtime="openvin")
    with pytest.raises(ConfigError, match="ms: unknown option, did you mean 'latency_ms'"):
        gc.Budget(ms=5, runtime="eager")
    with pytest.raises(ConfigError, match="budget: got latency_ms, expected macs, parameters or bytes"):
        gc.slim(image_network(), images(), budget=eager(5), images=4, progress=False)
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(ExportError, match=r"latency on openvino needs the package openvino, which") as error:
        gc.prune(image_network(), images()[0], budget=gc.Budget(latency_ms=5, runtime="openvino"))
    assert "\n" not in str(error.value)
