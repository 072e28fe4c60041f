"""Where a network rounds values that the next layer rounds anyway."""

from __future__ import annotations

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
    round_once,
)

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
