"""Widths that a constructor can express: tied in plans, read back as arguments, refused in one line otherwise."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from gancompress.channels import trace
from gancompress.errors import ConfigError
from gancompress.networks.cut import cut
from gancompress.networks.generator import Generator
from gancompress.networks.loadable import loadable, loadable_slots
from gancompress.networks.registry import build

CASES = [
    ("rrdbnet", {"nf": 16, "growth": 8, "num_blocks": 1}, {"nf": 8}),
    ("srvggnet_compact", {"nf": 16, "num_conv": 2}, {"nf": 8}),
    ("resnet", {"ngf": 16, "num_blocks": 1}, {"ngf": 8}),
    ("unet", {"ngf": 8, "num_downs": 5}, {"ngf": 4}),
    ("tests.networks.test_loadable:Own", {"num_feat": 16}, {"num_feat": 8, "num_out": 3, "depth": 2}),
]


class Own(nn.Module):
    """A class whose constructor knows one width, and one more layer of a fixed one."""

    def __init__(self, num_feat: int = 16, num_out: int = 3, depth: int = 2, offset: int = 0) -> None:
        super().__init__()
        layers = (nn.Conv2d(3 if i == 0 else num_feat, num_feat, 3, padding=1) for i in range(depth))
        self.layers = nn.ModuleList(layers)
        self.wide = nn.Conv2d(num_feat, 2 * num_feat + offset, 1)
        self.last = nn.Sequential(nn.Conv2d(2 * num_feat + offset, 12, 1), nn.Conv2d(12, num_out, 1))

    def forward(self, x: Tensor) -> Tensor:
        for number, layer in enumerate(self.layers):
            x = x + layer(x) if number else layer(x).relu()
        return self.last(self.wide(x).relu())


def wide(family: str, config: dict) -> Generator:
    return Generator.from_module(build(family, config), family, config)


def graph_of(generator: Generator):
    graph = trace(generator.build(), (torch.zeros(1, 3, 32, 32),), multiple=4, minimum=4)
    return replace(graph, slots=loadable_slots(generator, graph))


@pytest.mark.parametrize(("family", "config", "expected"), CASES, ids=[case[0] for case in CASES])
def test_half_the_channels_are_half_the_argument(family, config, expected):
    generator = wide(family, config)
    graph = graph_of(generator)
    narrow = cut(generator, graph, graph.uniform_plan(0.5))
    form = loadable(narrow)
    assert dict(form.architecture.width_arguments) == expected
    assert not form.config.get("widths")
    x = torch.rand(1, 3, 32, 32)
    assert torch.equal(form.build()(x), narrow.build()(x))


def test_widths_of_single_groups_and_unknown_constructors_are_refused():
    generator = wide("resnet", {"ngf": 8, "num_blocks": 1})
    graph = trace(generator.build(), (torch.zeros(1, 3, 32, 32),), multiple=1, minimum=1)
    uneven = cut(generator, graph, graph.plan({"blocks.0.conv1": 4}))
    with pytest.raises(ConfigError, match=r"resnet: no argument of its constructor gives these widths \(tried: ngf\)"):
        loadable(uneven)
    with pytest.raises(ConfigError, match="got a module whose constructor is not known, expected a family or a class"):
        loadable(Generator.from_module(Own()))
    style = wide("cartoongan", {"ngf": 8, "num_blocks": 1})
    with pytest.raises(ConfigError, match="cartoongan: no argument of its constructor sets channel groups"):
        loadable_slots(style, trace(style.build(), (torch.zeros(1, 3, 32, 32),)))
    odd = wide("tests.networks.test_loadable:Own", {"offset": 5})
    with pytest.raises(ConfigError, match=r"sets channel groups \(tried: num_feat, num_out, depth, offset\)"):
        loadable_slots(odd, trace(odd.build(), (torch.zeros(1, 3, 32, 32),)))


def test_blocks_left_out_are_a_smaller_number_of_blocks(tmp_path):
    config, x = {"nf": 8, "growth": 8, "num_blocks": 3}, torch.rand(1, 3, 8, 8)
    generator = wide("rrdbnet", config)
    graph = graph_of(generator)
    narrow = cut(generator, graph, graph.uniform_plan(0.5).leaving_out(["body.0"]))
    form = loadable(narrow)
    assert (form.config["nf"], form.config["num_blocks"], form.architecture.left_out) == (4, 2, ())
    assert torch.equal(form.build()(x), narrow.build()(x))
    with pytest.raises(ConfigError, match=r"loadable: got 'body.1.rdb2' left out, which no constructor can express"):
        loadable(cut(generator, graph, graph.full_plan().leaving_out(["body.1.rdb2"])))
    looped = wide("tests.networks.test_loadable:Own", {"depth": 3})
    narrow = cut(looped, graph := graph_of(looped), graph.uniform_plan(0.5).leaving_out(["+layers.1"]))
    form = loadable(narrow)
    assert (form.config["num_feat"], form.config["depth"], form.architecture.left_out) == (8, 2, ())
    assert torch.equal(form.build()(x), narrow.build()(x))
    narrow.save(tmp_path)
    again = Generator.load(tmp_path, trust=True)
    assert again.architecture.left_out == ("+layers.1",)
    assert torch.equal(again.build()(x), narrow.build()(x))
    fixed = Generator.from_module(build("resnet_6blocks", {"ngf": 8}), "resnet_6blocks", {"ngf": 8})
    short = cut(fixed, graph := graph_of(fixed), graph.full_plan().leaving_out(["blocks.0"]))
    with pytest.raises(
        ConfigError, match="got 1 blocks left out, but no argument of its constructor sets their number"
    ):
        loadable(short)


def test_groups_that_no_argument_sets_keep_their_channels():
    own = wide("tests.networks.test_loadable:Own", {})
    graph = graph_of(own)
    assert [(slot.name, slot.multiplier) for slot in graph.slots] == [("num_feat", (1, 2)), ("last.0", 12)]
    assert graph.uniform_plan(0.25).widths["last.0"] == 12
