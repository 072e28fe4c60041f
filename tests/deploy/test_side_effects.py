"""Networks that draw random numbers, change their inputs, or differ from run to run."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import gancompress
from gancompress.deploy import export_module
from gancompress.deploy.side_effects import repeatable
from gancompress.errors import ExportError

pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")

X = torch.linspace(-1, 1, 3 * 64).reshape(1, 3, 8, 8)


class Noise(nn.Module):
    """Noise by one of many functions, with a strength."""

    def __init__(self, draw, strength: float = 0.3) -> None:
        super().__init__()
        self.draw, self.strength = draw, strength

    def forward(self, x: Tensor) -> Tensor:
        return x + self.strength * self.draw(x)


DRAWS = {
    "randn_like": torch.randn_like,
    "rand": lambda x: torch.rand(x.shape),
    "normal_": lambda x: x.new_empty(x.shape[0], 1, *x.shape[2:]).normal_(),
    "bernoulli": lambda x: torch.bernoulli(x.abs()),
    "randperm": lambda x: x[:, torch.randperm(3)],
    "native_dropout|bernoulli_": lambda x: F.dropout(x, 0.5, training=True),
}


@pytest.mark.parametrize("name", DRAWS)
def test_random_numbers_are_named_with_their_place(name):
    net = nn.Sequential(nn.Conv2d(3, 3, 1), nn.Sequential(Noise(DRAWS[name])))
    with pytest.raises(
        ExportError,
        match=rf"^it: got a network that draws random numbers in its forward pass \(.*({name}).* in '1.0'\): two runs "
        r"in PyTorch differ by [\d.]+; pass the noise as an input, keep it in a buffer, or draw none in evaluation",
    ):
        repeatable(net, (X,), "it", ("input",))


class Attends(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        tokens = x.flatten(2).transpose(1, 2)
        return F.scaled_dot_product_attention(tokens, tokens, tokens)


@pytest.mark.parametrize(
    "net",
    [Noise(torch.randn_like, strength=0.0), nn.Dropout(0.5), Attends()],
    ids=["without strength", "dropout", "attention"],
)
def test_networks_that_draw_nothing_that_shows_are_taken(net):
    module, names = repeatable(net, (X,), "it", ("input",))
    assert (module, names) == (net, ["output"])


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_an_export_is_refused_before_anything_is_compared(precision, tmp_path):
    net = nn.Sequential(nn.Conv2d(3, 3, 1), Noise(torch.randn_like))
    images = X.expand(32, -1, -1, -1)
    with pytest.raises(
        ExportError, match=r"^export of Sequential: got a network that draws random numbers .*randn_like"
    ):
        gancompress.export(net, X, tmp_path / "a.onnx", precision=precision, calibration=images)
    with pytest.raises(ExportError, match=r"^export of Sequential: got a network that draws random numbers"):
        export_module(net, (X,), tmp_path / "a.onnx")
    assert not (tmp_path / "a.onnx").exists()


class Counts(nn.Module):
    """Random numbers that PyTorch does not know."""

    def forward(self, x: Tensor) -> Tensor:
        return x + torch.from_numpy(np.random.default_rng().random(1)).float()


def test_a_difference_is_not_blamed_on_the_file_where_pytorch_differs_from_itself(tmp_path):
    with pytest.raises(ExportError, match=r"two runs in PyTorch differ by [\d.e-]+: make the network deterministic in"):
        export_module(Counts(), (X,), tmp_path / "a.onnx")


class ChangesItsInput(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x.mul_(0.5).add_(0.25))


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_networks_that_change_their_input_are_exported(precision, tmp_path):
    torch.manual_seed(0)
    net, images = ChangesItsInput(), (torch.rand(32, 3, 8, 8) * 2 - 1)
    given = images.clone()
    with torch.no_grad():
        expected = net(images[:2].clone())
    report = gancompress.export(
        net, images[:1], tmp_path / "a.onnx", precision=precision, calibration=images, min_psnr_db=0
    )
    assert images.equal(given)
    result = gancompress.load(report.path)(images[:2])
    torch.testing.assert_close(result, expected, rtol=0, atol=1e-5 if precision == "fp32" else 0.05)
    assert images.equal(given)
    assert not net._forward_pre_hooks


class SetsItsKernel(nn.Module):
    """A kernel that the product of two others sets in every pass."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 8, 3, bias=False), nn.Conv2d(8, 3, 1, bias=False)
        self.fused = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        kernel = torch.einsum("iokl,ojmn->ijmn", self.second.weight.data.clone(), self.first.weight.data)
        self.fused.weight.data = kernel.contiguous()
        return self.fused(x)


class ReadsNumbers(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.power, self.shift = nn.Parameter(torch.tensor([2.5])), nn.Parameter(torch.tensor(0.25))
        self.register_buffer("ends", torch.tensor([0.5, 2.0]))

    def forward(self, x: Tensor) -> Tensor:
        low, high = self.ends.tolist()
        return (x.abs().pow(self.power.item()) + float(self.shift)).clamp(low, high)


@pytest.mark.parametrize("name", ["a.onnx", "a.pt2"])
def test_networks_that_read_numbers_of_their_own_weights_are_exported(name, tmp_path):
    report = gancompress.export(ReadsNumbers(), X, tmp_path / name)
    expected = (2 * X.abs() ** 2.5 + 0.5).clamp(1, 4) / 2
    torch.testing.assert_close(gancompress.load(report.path, trust=True)(X), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["a.onnx", "a.pt2"])
def test_networks_that_set_their_own_weights_are_exported(name, tmp_path):
    torch.manual_seed(0)
    net = nn.Sequential(SetsItsKernel(), nn.ReLU(), SetsItsKernel())
    with torch.no_grad():
        expected = net(X.clone())
    stale = net[0].fused.weight
    report = gancompress.export(net, X, tmp_path / name)
    assert report.max_difference < 1e-5
    torch.testing.assert_close(gancompress.load(report.path, trust=True)(X), expected, rtol=0, atol=1e-5)
    with torch.no_grad():
        net[0].first.weight.mul_(2)
        net(X)
    torch.testing.assert_close(net[0].fused.weight, stale)
    assert not net._forward_pre_hooks
