"""Recalibrated statistics against those of all batches at once."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import pytest
import torch
from torch import nn

import gancompress as gc
from gancompress.channels import SubNetwork, materialise, trace
from gancompress.errors import DataError
from gancompress.methods.recalibrate import recalibrate
from gancompress.networks.cut import cut
from gancompress.networks.generator import Generator
from gancompress.networks.registry import build


@pytest.mark.parametrize("norm", [nn.BatchNorm2d, nn.SyncBatchNorm])
@pytest.mark.parametrize("sizes", [(4, 4, 4), (4, 1, 7)])
def test_statistics_are_those_of_all_batches_in_one(norm: type[nn.Module], sizes: tuple[int, ...]):
    network = nn.Sequential(nn.Conv2d(3, 5, 1), norm(5), nn.Dropout(0.5)).train()
    twin = copy.deepcopy(network[:2]).train()
    network[1].running_mean.fill_(7.0)
    batches = [torch.randn(size, 3, 6, 6) * (i + 1) + i for i, size in enumerate(sizes)]
    recalibrate(network, batches)
    twin[1].momentum = None  # the statistics of one batch are then what it keeps
    twin(torch.cat(batches))
    torch.testing.assert_close(network[1].running_mean, twin[1].running_mean)
    torch.testing.assert_close(network[1].running_var, twin[1].running_var)
    assert network[1].momentum == 0.1
    assert network.training
    assert network[2].training
    assert not network[1]._forward_pre_hooks


def test_norms_behind_norms_see_batches_as_in_training():
    """Each batch is normalised by its own statistics on its way to the next norm."""
    network = nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    batches = [torch.randn(4, 3, 6, 6) * (i + 1) + i for i in range(3)]
    first = copy.deepcopy(network[:2]).train()
    with torch.no_grad():
        seen = torch.cat([first(batch) for batch in batches])
    recalibrate(network, batches)
    torch.testing.assert_close(network[2].running_mean, seen.mean((0, 2, 3)))
    torch.testing.assert_close(network[2].running_var, seen.var((0, 2, 3)))


def test_the_past_does_not_count():
    networks = [nn.BatchNorm2d(3), nn.BatchNorm2d(3)]
    networks[1](torch.randn(9, 3, 4, 4) * 5)
    batches = [torch.randn(4, 3, 4, 4) for _ in range(3)]
    for network in networks:
        recalibrate(network, batches)
    assert all(one.equal(other) for one, other in zip(*(n.buffers() for n in networks), strict=True))


def test_a_narrow_network_keeps_only_its_own_statistics():
    """Nothing of the wide network's width is left in it: neither in its buffers nor in what it computes."""
    config = {"ngf": 4, "in_channels": 5, "upsampling": "normal"}
    wide = Generator.from_module(build("mobile_spade", config), "mobile_spade", config)
    batches = [(torch.arange(2 * 5 * 64 * 64).view(2, 5, 64, 64) * (i + 3) % 7 == 0).float() for i in range(2)]
    graph = trace(wide.build(), (batches[0],), multiple=1, minimum=1)
    plan = graph.uniform_plan(0.5)
    alone = cut(wide, graph, plan)
    assert alone.num_parameters < wide.num_parameters
    widths = set(plan.widths.values())
    assert {len(t) for name, t in alone.state.items() if name.endswith("running_mean")} <= widths
    networks = [alone.build(), materialise(wide.build(), graph, plan)]
    for network in networks:
        recalibrate(network, batches)
    with torch.no_grad():
        assert networks[0](batches[0]).equal(networks[1](batches[0]))
        shared = wide.build()
        shared.load_state_dict(widened(networks[0].state_dict(), wide.state))
        assert SubNetwork(shared, graph, plan)(batches[0]).equal(networks[0](batches[0]))


def widened(narrow: dict[str, torch.Tensor], wide: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The wide state with the narrow one in its leading places."""
    state = {name: tensor.clone() for name, tensor in wide.items()}
    for name, tensor in narrow.items():
        state[name][tuple(map(slice, tensor.shape))] = tensor
    return state


def test_a_network_without_statistics_is_left_alone_and_no_batch_is_read():
    network = nn.Sequential(nn.InstanceNorm2d(3))

    def batches():
        raise AssertionError("read")
        yield

    recalibrate(network, batches())
    assert network[0].momentum == 0.1


def test_any_batches_are_taken_and_their_number_is_limited():
    network, images = nn.BatchNorm2d(3), torch.randn(8, 3, 4, 4)
    gc.recalibrate(network, lambda: [(part, part) for part in images.split(2)], num_images=3)
    torch.testing.assert_close(network.running_mean, images[:3].mean((0, 2, 3)))
    with pytest.raises(DataError, match="recalibrate: got no batch, expected at least one; check the data set"):
        gc.recalibrate(network, [])
    with pytest.raises(DataError, match="batches: batch 1 is str, expected a tensor"):
        gc.recalibrate(network, ["x"])
    assert not network._forward_pre_hooks
