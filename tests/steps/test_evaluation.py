"""Measuring one generator after the other, against real images and against a teacher's."""

from __future__ import annotations

import warnings

import pytest
import torch
from accelerate import Accelerator
from torch import nn

from gancompress.data import parse_data
from gancompress.errors import MetricError
from gancompress.steps.evaluation import Evaluation
from gancompress.steps.metric_options import MetricOptions
from gancompress.steps.step import Context
from gancompress.tasks import TASKS


class Brighter(nn.Module):
    """Adds a constant to its input."""

    def __init__(self, amount: float) -> None:
        super().__init__()
        self.amount = amount

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.amount


@pytest.fixture
def context(tmp_path) -> Context:
    data = parse_data({"kind": "procedural", "image_size": 16, "num_images": {"train": 1, "search": 1, "test": 8}})
    return Context(TASKS["paired"], data, None, tmp_path, Accelerator(cpu=True), log=None)  # type: ignore[arg-type]


@pytest.fixture
def options(tmp_path) -> MetricOptions:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of TorchScript itself
        torch.jit.script(nn.Sequential(nn.AvgPool2d(8), nn.Flatten())).save(str(tmp_path / "pool.ts.pt"))
    return MetricOptions(networks={"pool": {"path": str(tmp_path / "pool.ts.pt"), "size": [16, 16]}}, batch_size=3)


def test_the_reference_is_prepared_once_and_serves_every_generator(context, options):
    names = ("fd_pool", "psnr")
    evaluation = Evaluation(options, names, context, "test")
    first, second = Brighter(0.0), Brighter(-0.5)
    together = [[result.value for result in evaluation.of(network)] for network in (first, second, first)]
    apart = [
        [result.value for result in Evaluation(options, names, context, "test").of(network)]
        for network in (first, second)
    ]
    assert together == [apart[0], apart[1], apart[0]]
    assert apart[0] != apart[1]


def test_a_teacher_takes_the_place_of_the_real_images(context, options):
    evaluation = Evaluation(options, ("fd_pool", "psnr"), context, "test", teacher=Brighter(0.0))
    distance, psnr = evaluation.of(Brighter(0.0))
    assert distance.value == pytest.approx(0, abs=1e-6)
    assert psnr.value > 60
    assert "the teacher's images" in distance.protocol
    assert distance.num_images == 8
    assert evaluation.of(Brighter(-0.5))[1].value < psnr.value


def test_a_metric_without_its_network_is_refused(context, options):
    with pytest.raises(MetricError, match="got no network 'mobilenet', expected one that is given"):
        Evaluation(options, ("fd_mobilenet",), context, "test")
