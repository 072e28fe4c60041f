"""Operators that stay in float32 in half precision: overflow, underflow, softmax, epsilons, and none at all."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import gancompress
from gancompress.deploy.half import Halved, TooFar, float_operators
from gancompress.deploy.half.emulation import emulated

IMAGE = (torch.rand(1, 3, 12, 12, generator=torch.Generator().manual_seed(0)) * 2 - 1).half().float()


class HandWrittenNorm(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        centred = x - x.mean((2, 3), keepdim=True)
        return centred / (centred.square().mean((2, 3), keepdim=True) + 1e-8).sqrt()


class Attention(nn.Module):
    """Attention among pixels whose logits are so large that their rounding moves the weights."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale, self.value = scale, nn.Conv2d(3, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        values = self.value(x).flatten(2)
        weights = torch.softmax(values.transpose(1, 2) @ values * self.scale, -1)
        return (values @ weights.transpose(1, 2)).view(1, 4, *x.shape[2:])


class WrittenInto(nn.Module):
    """Values that later operators overwrite, through a view and by an activation."""

    def forward(self, x: Tensor) -> Tensor:
        x[:, :2].mul_(3e4)
        return F.leaky_relu(x * 4, 0.1, inplace=True) / 1.2e5


def with_weight(layer: nn.Conv2d, gain: float) -> nn.Conv2d:
    with torch.no_grad():
        layer.weight.mul_(gain)
    return layer


def networks() -> dict[str, tuple[nn.Module, tuple[str, ...]]]:
    """Networks, and the layers that must stay in float32."""
    torch.manual_seed(0)

    def conv(gain: float = 1.0) -> nn.Conv2d:
        return with_weight(nn.Conv2d(3, 3, 3, padding=1, bias=False), gain)

    return {
        "tame": (nn.Sequential(conv(), nn.ReLU(inplace=True), conv(), nn.Tanh()), ()),
        "weights and values too large": (nn.Sequential(conv(1e6), conv(1e-6), nn.Tanh()), ("0", "1")),
        "values too small": (nn.Sequential(conv(1e-4), conv(1e-4), conv(1e8), nn.Tanh()), ("1", "2")),
        "squares too large": (nn.Sequential(conv(3000), HandWrittenNorm(), conv(), nn.Tanh()), ("0", "1")),
        "squares too small": (nn.Sequential(conv(1e-4), HandWrittenNorm(), conv(), nn.Tanh()), ("0", "1")),
        "softmax": (nn.Sequential(Attention(900), nn.Conv2d(4, 3, 1), nn.Tanh()), ("0",)),
        "written into": (nn.Sequential(conv(), WrittenInto()), ("0", "1")),
    }


@pytest.mark.parametrize(("name", "net", "layers"), [(name, *each) for name, each in networks().items()])
@torch.no_grad()
def test_operators_that_half_precision_breaks_stay_in_float32(name, net, layers):
    expected = net.eval()(IMAGE.clone())

    def refusal(run) -> str | None:
        difference = float((run((IMAGE,))[0] - expected).abs().max())
        return None if difference < 0.015 else f"off by {difference}"

    mixed = float_operators(net, [(IMAGE,)], refusal)
    assert mixed.layers == layers
    halved = Halved(copy.deepcopy(net), mixed)
    got = halved(IMAGE.clone())
    assert got.dtype == torch.float32
    torch.testing.assert_close(got, expected, atol=0.015, rtol=0)
    torch.testing.assert_close(got, emulated(net, mixed)((IMAGE,))[0], atol=4e-3, rtol=0)
    if layers:
        with pytest.raises(TooFar, match="off by") as error:
            float_operators(net, [(IMAGE,)], refusal, mixes=False)
        assert error.value.layer in {*layers, "0"}
    kept = {each for each, tensor in halved.network.named_parameters() if tensor.dtype == torch.float32}
    assert kept == mixed.parameters


def test_the_file_keeps_them_and_the_epsilon(tmp_path):
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxscript")
    net = networks()["squares too small"][0]
    images = IMAGE.repeat(32, 1, 1, 1)
    report = gancompress.export(net, images[:1], tmp_path / "a.onnx", precision="fp16", calibration=images[:4])
    assert report.float_layers == ("0", "1")
    assert report.quality is not None
    assert report.quality.psnr_db > 50
    kinds = [node.op_type for node in onnx.load(report.path).graph.node]
    assert kinds.count("Add") == 1  # of 1e-8, which an optimizer takes for 0
    assert kinds.count("Cast") < 8
