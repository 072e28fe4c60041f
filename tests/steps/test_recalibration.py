"""Recalibrated statistics against those of all batches at once."""

from __future__ import annotations

import torch
from accelerate import Accelerator
from torch import nn

from gancompress.data import parse_data
from gancompress.data.kinds.procedural import ProceduralSet
from gancompress.steps.metric_options import MetricOptions
from gancompress.steps.recalibration import Calibration, recalibrate
from gancompress.steps.step import Context
from gancompress.tasks import TASKS


def test_statistics_are_the_mean_over_all_batches():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 5, 1), nn.BatchNorm2d(5), nn.Dropout(0.5)).train()
    network[1].running_mean.fill_(7.0)
    batches = [torch.randn(4, 3, 6, 6) + i for i in range(5)]
    recalibrate(network, batches)
    maps = [network[0](batch) for batch in batches]
    torch.testing.assert_close(network[1].running_mean, torch.cat(maps).mean((0, 2, 3)))
    torch.testing.assert_close(
        network[1].running_var, torch.stack([m.var((0, 2, 3), unbiased=True) for m in maps]).mean(0)
    )
    assert network[1].momentum == 0.1
    assert network.training
    assert network[2].training


def test_a_network_without_statistics_is_left_alone_and_no_batch_is_read():
    network = nn.Sequential(nn.InstanceNorm2d(3))

    def batches():
        raise AssertionError("read")
        yield

    recalibrate(network, batches())
    assert network[0].momentum == 0.1


def test_calibration_inputs_are_drawn_once_and_only_when_needed(tmp_path, monkeypatch):
    data = parse_data({"kind": "procedural", "image_size": 16, "num_images": {"train": 9}})
    options = MetricOptions(batch_size=2)
    context = Context(TASKS["paired"], data, None, tmp_path, Accelerator(cpu=True), log=None, metrics=options)  # type: ignore[arg-type]
    drawn = []
    draw = ProceduralSet._draw
    monkeypatch.setattr(ProceduralSet, "_draw", lambda self, index: (drawn.append(index), draw(self, index))[1])
    calibration = Calibration(context, num_batches=3)
    recalibrate(nn.Sequential(nn.InstanceNorm2d(3)), calibration)
    assert drawn == []
    networks = [nn.BatchNorm2d(3), nn.BatchNorm2d(3)]
    for network in networks:
        recalibrate(network, calibration)
    assert drawn == list(range(6))
    expected = torch.stack([context.data.open("train")[i]["input"] for i in range(6)]).mean((0, 2, 3))
    for network in networks:
        torch.testing.assert_close(network.running_mean, expected)
