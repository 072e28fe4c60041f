"""Folding of re-parameterised blocks: exact, borders included, and only if one convolution is no larger."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn

from gancompress.channels import trace
from gancompress.errors import CheckpointError, ConfigError
from gancompress.networks.cut import cut
from gancompress.networks.fold_branches import TOLERANCE, fold, fold_generator
from gancompress.networks.generator import Generator
from gancompress.networks.loadable import loadable
from tests.networks.reparameterised import FOLDED, KEPT, Upscaler, upscaler


@pytest.mark.parametrize("kind", FOLDED)
@torch.no_grad()
def test_a_block_becomes_one_convolution(kind):
    network = upscaler(kind).double()
    x = torch.randn(2, 3, *([10] if kind == "one_dimension" else [10, 7]), dtype=torch.float64)
    wanted = network(x)

    folded, blocks = fold(network, (x,))

    assert list(blocks) == ["body.0", "body.1"]
    got = folded(x)
    assert (got - wanted).abs().max() <= TOLERANCE * wanted.abs().max()
    assert torch.equal(network(x), wanted)
    block = folded.body[0]
    layers = [each for each in block.modules() if isinstance(each, nn.Conv1d | nn.Conv2d)]
    assert len(layers) == 1
    assert layers[0].groups == (4 if kind == "repvgg_grouped" else 1)
    assert sum(p.numel() for p in folded.parameters()) < sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize("kind", KEPT)
def test_other_blocks_stay(kind):
    network = upscaler(kind)
    assert fold(network, (torch.zeros(1, 3, 8, 8),)) == (network, {})


def test_a_class_whose_code_needs_the_branches_stays():
    class Reading(Upscaler):
        def forward(self, x):
            return super().forward(x) * self.body[1].dense[1].eps

    network = Reading()
    assert fold(network, (torch.zeros(1, 3, 8, 8),)) == (network, {})


@pytest.mark.parametrize("kind", ["repvgg_strided", "acnet"])
def test_a_narrow_folded_generator_is_read_back(kind, tmp_path):
    x = torch.randn(1, 3, 8, 8)
    generator = Generator.from_module(upscaler(kind), "tests.networks.reparameterised:Upscaler", {"kind": kind})
    lines: list[str] = []
    folded = fold_generator(generator, x, lines.append)
    assert lines == ["2 re-parameterised blocks folded: body.0, body.1"]
    assert fold_generator(folded, x) is folded
    graph = trace(folded.build(), (x,), multiple=1, minimum=1)
    small = cut(folded, graph, graph.uniform_plan(0.5))

    small.save(tmp_path)
    read = Generator.load(tmp_path, trust=True)

    assert torch.equal(read.build()(x), small.build()(x))
    assert Generator.of(read.architecture).num_parameters > read.num_parameters
    with pytest.raises(ConfigError, match=r"loadable: .*: got folded blocks \(body\.0, body\.1\)"):
        loadable(small)
    config = json.loads((tmp_path / "config.json").read_text())
    config["folded"]["body.0"]["groups"] = 3
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=r"folded: got .*'groups': 3.*, expected a convolution: in_channels must"):
        Generator.load(tmp_path, trust=True)
    config["folded"] = {"body.9": config["folded"]["body.1"]}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(
        CheckpointError, match="folded: Sequential has no attribute `9`; expected paths of blocks of the network"
    ):
        Generator.load(tmp_path, trust=True).build()
