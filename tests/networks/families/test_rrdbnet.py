"""RRDBNet, against a plain implementation on the same weights, and the files of its world."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from gancompress.networks.importers import load_generator
from gancompress.networks.registry import build

CONFIG = {"nf": 6, "growth": 4, "num_blocks": 2}


def plain(state: Mapping[str, Tensor], image: Tensor, num_blocks: int, scale: int) -> Tensor:
    """From an image in [0, 1] to an image in about [0, 1], written from the paper's figures."""

    def conv(name: str, x: Tensor) -> Tensor:
        return F.conv2d(x, state[f"{name}.weight"], state[f"{name}.bias"], padding=1)

    def active(x: Tensor) -> Tensor:
        return torch.where(x > 0, x, 0.2 * x)

    def dense(name: str, x: Tensor) -> Tensor:
        maps = [x]
        for k in (1, 2, 3, 4):
            maps.append(active(conv(f"{name}.conv{k}", torch.cat(maps, 1))))
        return conv(f"{name}.conv5", torch.cat(maps, 1)) * 0.2 + x

    def twice(x: Tensor) -> Tensor:
        return x.repeat_interleave(2, 2).repeat_interleave(2, 3)

    step = 4 // scale
    b, c, h, w = image.shape
    image = image.view(b, c, h // step, step, w // step, step).permute(0, 1, 3, 5, 2, 4).flatten(1, 3)
    first = x = conv("conv_first", image)
    for i in range(num_blocks):
        inner = x
        for j in (1, 2, 3):
            inner = dense(f"body.{i}.rdb{j}", inner)
        x = inner * 0.2 + x
    x = first + conv("conv_body", x)
    x = active(conv("conv_up1", twice(x)))
    x = active(conv("conv_up2", twice(x)))
    return conv("conv_last", active(conv("conv_hr", x)))


@pytest.mark.parametrize("scale", [1, 2, 4])
@torch.no_grad()
def test_the_network_is_the_published_one_in_the_range_of_this_package(scale, distinct_weights):
    network = distinct_weights(build("rrdbnet", {**CONFIG, "scale": scale})).double()
    image = torch.rand(2, 3, 8, 12, dtype=torch.float64)
    expected = plain(network.state_dict(), image, 2, scale)
    assert expected.shape == (2, 3, 8 * scale, 12 * scale)
    torch.testing.assert_close((network(image * 2 - 1) + 1) / 2, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("wrapper", ["params_ema", "params", None])
@pytest.mark.parametrize("scale", [1, 2, 4])
def test_files_in_half_precision(wrapper, scale, tmp_path, distinct_weights):
    config = {**CONFIG, "scale": scale, "widths": {"body.1.rdb2.conv3": 3}}
    half = {name: tensor.half() for name, tensor in distinct_weights(build("rrdbnet", config)).state_dict().items()}
    torch.save({wrapper: half} if wrapper else half, tmp_path / "net.pth")
    generator = load_generator(tmp_path / "net.pth")
    assert generator.family == "rrdbnet"
    assert {**generator.config, **config} == generator.config
    assert all(torch.equal(tensor, half[name].float()) for name, tensor in generator.state.items())


@pytest.mark.parametrize(("file", "num_blocks", "parameters"), [("", 23, 16_697_987), ("_anime", 6, 4_467_779)])
@torch.no_grad()
def test_public_weights(file, num_blocks, parameters, shared_data: Path):
    generator = load_generator(shared_data / "teachers" / f"realesrgan_x4plus{file}_fp16.pth")
    assert (generator.config["num_blocks"], generator.num_parameters) == (num_blocks, parameters)
    rising = torch.linspace(0.1, 0.9, 8)
    image = torch.stack([rising.expand(8, 8), rising[:, None].expand(8, 8), 1 - rising.expand(8, 8)])[None]
    expected = plain(generator.state, image, num_blocks, 4)
    torch.testing.assert_close((generator.build()(image * 2 - 1) + 1) / 2, expected, rtol=0, atol=1e-4)
    both = torch.stack([F.avg_pool2d(expected, 4).flatten(), image.flatten()])
    assert torch.corrcoef(both)[0, 1] > 0.9, "an enlarged image is the image"
