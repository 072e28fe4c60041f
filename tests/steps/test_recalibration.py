"""Recalibrated statistics against those of all batches at once."""

from __future__ import annotations

import torch
from torch import nn

from gancompress.steps.recalibration import recalibrate


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


def test_a_network_without_statistics_is_left_alone():
    network = nn.Sequential(nn.InstanceNorm2d(3))
    recalibrate(network, iter(()))
    assert network[0].momentum == 0.1
