"""Values that the next layer rounds anyway are rounded once, and what a residual sum adds is rounded at all."""

from __future__ import annotations

import copy
import weakref
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gancompress.quantization import (
    QuantizationOptions,
    calibrate,
    distance_to_float,
    quantize,
    quantized_layers,
    remove_quantization,
    round_once,
)
from gancompress.quantization.attach import make_float

OPTIONS = QuantizationOptions(ranges="minmax", image=True, outputs=True)
IMAGES = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1


class Net(nn.Module):
    """Two or three convolutions with something in between."""

    def __init__(self, between: str) -> None:
        super().__init__()
        self.first, self.second, self.third = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3), nn.Conv2d(4, 3, 1)
        self.norm, self.relu = nn.InstanceNorm2d(4), nn.ReLU(inplace=True)
        self.between = between

    def forward(self, image: Tensor) -> Any:
        values = self.first(image)
        if self.between == "relu, pad":
            return self.second(F.pad(self.relu(values), (1, 1, 1, 1), mode="reflect"))
        if self.between == "relu, shuffle, slice":
            return self.second(F.pixel_shuffle(F.relu(values), 2)[:, :1].repeat(1, 4, 1, 1))
        if self.between == "norm":
            return self.second(self.norm(values))
        if self.between == "sum":
            return self.second(values) + values[:, :, 2:, 2:].mean()
        if self.between == "result":
            return values, self.second(values)
        if self.between == "two takers":
            return self.second(values)[:, :3] + self.third(values)[:, :, 1:-1, 1:-1]
        return self.second(values)


def made(between: str, **options: object) -> nn.Module:
    torch.manual_seed(0)
    net = quantize(Net(between).eval(), OPTIONS.model_copy(update=options))
    return calibrate(net, [IMAGES], min_images=1)


def rounding_outputs(net: nn.Module) -> set[str]:
    return {path for path, layer in quantized_layers(net).items() if layer.output_quantizer is not None}


@pytest.mark.parametrize(
    ("between", "once"),
    [
        ("nothing", True),
        ("relu, pad", True),
        ("relu, shuffle, slice", False),  # what is repeated is no movement that is known
        ("norm", False),
        ("sum", False),
        ("two takers", False),
        ("result", False),
    ],
)
def test_an_output_is_not_rounded_where_the_next_layer_alone_takes_it(between, once):
    net = round_once(made(between), IMAGES)
    assert ("first" not in rounding_outputs(net)) == once
    assert {"second", "third"} <= rounding_outputs(net)  # the image, and what never ran


def test_a_float_layer_rounds_nothing():
    net = round_once(made("relu, pad", layer_bits={"second": "float"}), IMAGES)
    assert rounding_outputs(net) == {"first", "third"}


def test_one_rounding_is_closer_than_two():
    net = made("relu, pad")
    twice = distance_to_float(net, [IMAGES]).psnr_db
    assert distance_to_float(round_once(net, IMAGES), [IMAGES]).psnr_db > twice
    assert net(IMAGES).shape == (4, 4, 6, 6)
    assert not any(layer._forward_hooks or layer._forward_pre_hooks for layer in net.modules())


class Residual(nn.Module):
    """A convolution with a ReLU, two residual blocks, and a convolution behind them."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.stem = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(inplace=True))
        self.blocks = nn.Sequential(Block(kind), Block(kind))
        self.head = nn.Conv2d(4, 3, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        values = self.blocks(self.stem(image))
        return self.head(values)


class Block(nn.Module):
    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.first, self.second = nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.norm = nn.InstanceNorm2d(4) if kind == "norm" else nn.Identity()

    def forward(self, values: Tensor) -> Tensor:
        taken = values[:, :, 1:] if self.kind == "slice" else values
        made = F.dropout(F.relu(self.first(taken)), training=self.training)
        made = self.norm(self.second(F.pad(made, (0, 0, 1, 0)) if self.kind == "slice" else made))
        if self.kind == "in place":
            values += 1
        return values + 2 * made if self.kind == "scaled" else values + made


def residual(kind: str, **options: object) -> nn.Module:
    torch.manual_seed(0)
    net = quantize(Residual(kind).eval(), OPTIONS.model_copy(update=options))
    return round_once(calibrate(net, [IMAGES], min_images=1), IMAGES)


def on_grid(values: Tensor, layer: Any) -> bool:
    return bool((layer.input_quantizer(values) == values).all())


@torch.no_grad()
def test_a_sum_and_what_it_adds_are_rounded_as_the_layers_that_take_them():
    net: Any = residual("plain")
    stem = net.stem(IMAGES)
    total = net.blocks[0](stem)
    assert on_grid(stem, net.blocks[0].first)
    assert on_grid(total, net.blocks[1].first)
    assert not on_grid(stem, net.blocks[1].first)
    assert not net.blocks[1]._forward_hooks  # the last sum is taken by a layer alone, which rounds it
    # The stem is rounded behind its ReLU only; what else a sum adds has a range of its own.
    assert rounding_outputs(net) == {"blocks.0.second", "blocks.1.second", "head"}


@torch.no_grad()
def test_a_copy_rounds_by_itself_and_a_float_network_not_at_all():
    net: Any = residual("plain")
    twin = copy.deepcopy(net)
    make_float(twin.blocks[1].first)
    assert not on_grid(twin.blocks[0](twin.stem(IMAGES)), net.blocks[1].first)
    assert on_grid(net.blocks[0](net.stem(IMAGES)), net.blocks[1].first)
    exact, plain = remove_quantization(copy.deepcopy(net)), Residual("plain").eval()
    plain.load_state_dict(exact.state_dict())
    assert exact(IMAGES).equal(plain(IMAGES))
    assert 20 < distance_to_float(net, [IMAGES]).psnr_db < 100


@pytest.mark.parametrize("kind", ["norm", "slice", "in place", "scaled"])
def test_a_sum_of_something_that_is_not_rounded_stays_float(kind):
    assert not any(module._forward_hooks for module in residual(kind).modules())


def test_a_sum_that_a_float_layer_takes_stays_float():
    net = residual("plain", layer_bits={"blocks.1.first": "float", "head": "float"})
    assert not any(module._forward_hooks for module in net.modules())


def test_the_values_of_a_pass_are_not_kept():
    layers = nn.Sequential(*(nn.Sequential(nn.Conv2d(3, 3, 1), nn.PReLU()) for _ in range(6)))
    network = calibrate(quantize(layers, OPTIONS), [IMAGES], min_images=1)
    returned: list[weakref.ref[Tensor]] = []
    alive: list[int] = []

    def count(module: nn.Module, args: Any, result: Tensor) -> None:
        alive.append(sum(each() is not None for each in returned))
        returned.append(weakref.ref(result))

    for layer in quantized_layers(network).values():
        layer.register_forward_hook(count)
    round_once(network, IMAGES)
    assert len(alive) == 6
    assert max(alive) <= 1
