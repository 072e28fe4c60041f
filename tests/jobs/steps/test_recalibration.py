"""The inputs on which steps recalibrate running statistics."""

from __future__ import annotations

import torch
from torch import nn

from gancompress.data import parse_data
from gancompress.data.kinds.procedural import ProceduralSet
from gancompress.jobs.steps.recalibration import Calibration
from gancompress.methods.recalibrate import recalibrate
from gancompress.tasks import find_task
from gancompress.tasks.inputs import Inputs


def test_calibration_inputs_are_drawn_once_and_only_when_needed(tmp_path, monkeypatch):
    data = parse_data({"kind": "procedural", "image_size": 16, "num_images": {"train": 40}})
    inputs = Inputs(find_task("paired"), data)
    drawn = []
    draw = ProceduralSet._draw
    monkeypatch.setattr(ProceduralSet, "_draw", lambda self, index: (drawn.append(index), draw(self, index))[1])
    calibration = Calibration(inputs, memory_gib=2.0, num_batches=2)
    recalibrate(nn.Sequential(nn.InstanceNorm2d(3)), calibration)
    assert drawn == []
    networks = [nn.BatchNorm2d(3), nn.BatchNorm2d(3)]
    for network in networks:
        recalibrate(network, calibration)
    assert drawn == list(range(32))
    expected = torch.stack([inputs.data.open("train")[i]["input"] for i in range(32)]).mean((0, 2, 3))
    for network in networks:
        torch.testing.assert_close(network.running_mean, expected)
