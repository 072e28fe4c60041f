"""Our groups against those of Torch-Pruning's dependency graph, an independent implementation on the autograd graph."""

from __future__ import annotations

import warnings

import pytest
from torch import nn

from gancompress.channels import ChannelGraph
from gancompress.channels.grouping import layer_of

from .cases import FAMILY_CASES, graph_of, make

torch_pruning = pytest.importorskip("torch_pruning", reason="compares with Torch-Pruning, which is not installed")


def coupled_layers(module: nn.Module, graph: ChannelGraph, group: str) -> set[tuple[str, str]]:
    """(layer, "out" or "in") of every convolution on which the group lies."""
    found = set()
    for name, number, axis in graph.members(group, ("out", "in", "depthwise")):
        layer = layer_of(name)
        is_kernel = not name.endswith((".0._u", ".0._v"))  # those are the vectors of spectral norm
        if not is_kernel or not isinstance(module.get_submodule(layer), nn.Conv2d | nn.ConvTranspose2d):
            continue
        found |= {(layer, "out"), (layer, "in")} if axis.role == "depthwise" else {(layer, axis.role)}
        assert graph.axes(name)[number] is axis
    return found


# Torch-Pruning ties every layer of a StyleGAN2 to every other, by way of the demodulation.
@pytest.mark.parametrize("name", [name for name in FAMILY_CASES if not name.startswith("stylegan2")])
def test_groups_couple_the_same_layers(name):
    module, inputs = make(name)
    graph = graph_of(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dependencies = torch_pruning.DependencyGraph().build_dependency(module, example_inputs=inputs[0])
    paths = {layer: path for path, layer in module.named_modules()}
    directions = {"prune_out_channels": {"out"}, "prune_in_channels": {"in"}, "prune_depthwise": {"out", "in"}}
    for group in graph.groups:
        layer = module.get_submodule(group)
        if isinstance(layer, nn.Linear):
            continue  # makes a map, which Torch-Pruning does not follow
        theirs = dependencies.get_pruning_group(layer, torch_pruning.prune_conv_out_channels, idxs=[0])
        expected = set()
        for dependency, _ in theirs:
            target = dependency.target.module
            if isinstance(target, nn.Conv2d | nn.ConvTranspose2d):
                depthwise = target.groups > 1
                handler = "prune_depthwise" if depthwise else dependency.handler.__name__
                expected |= {(paths[target], direction) for direction in directions[handler]}
        assert coupled_layers(module, graph, group) == expected
