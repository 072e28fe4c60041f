"""The inputs on which steps recalibrate running statistics."""

from __future__ import annotations

import torch
from accelerate import Accelerator
from torch import nn

from gancompress.data import parse_data
from gancompress.data.kinds.procedural import ProceduralSet
from gancompress.methods.recalibrate import recalibrate
from gancompress.steps.metric_options import MetricOptions
from gancompress.steps.recalibration import Calibration
from gancompress.steps.step import Context
from gancompress.tasks import find_task


def test_calibration_inputs_are_drawn_once_and_only_when_needed(tmp_path, monkeypatch):
    data = parse_data({"kind": "procedural", "image_size": 16, "num_images": {"train": 40}})
    options = MetricOptions(batch_size=2)  # which has no say in it
    context = Context(find_task("paired"), data, None, tmp_path, Accelerator(cpu=True), log=None, metrics=options)  # type: ignore[arg-type]
    drawn = []
    draw = ProceduralSet._draw
    monkeypatch.setattr(ProceduralSet, "_draw", lambda self, index: (drawn.append(index), draw(self, index))[1])
    calibration = Calibration(context, num_batches=2)
    recalibrate(nn.Sequential(nn.InstanceNorm2d(3)), calibration)
    assert drawn == []
    networks = [nn.BatchNorm2d(3), nn.BatchNorm2d(3)]
    for network in networks:
        recalibrate(network, calibration)
    assert drawn == list(range(32))
    expected = torch.stack([context.data.open("train")[i]["input"] for i in range(32)]).mean((0, 2, 3))
    for network in networks:
        torch.testing.assert_close(network.running_mean, expected)
