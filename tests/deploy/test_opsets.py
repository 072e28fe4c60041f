"""Opsets of ONNX files: older ones run and agree, what they lack is said; networks of one size get onnx_fixed."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gancompress.deploy import FileOptions, Precision, export_generator, export_module
from gancompress.deploy.runtimes.opsets import lowered
from gancompress.errors import ExportError
from gancompress.networks.file_form import FileForm
from gancompress.networks.generator import Generator
from gancompress.networks.registry import build

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")

IMAGE = torch.linspace(0, 1, 192).view(1, 3, 8, 8)


class EveryLayer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv2d(3, 8, 3, padding=1, padding_mode="reflect"), nn.InstanceNorm2d(8)
        self.act, self.groups = nn.PReLU(8), nn.GroupNorm(2, 8)
        self.up, self.last = nn.ConvTranspose2d(8, 8, 3, 2, 1, 1), nn.Conv2d(8, 12, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        features = F.silu(self.up(self.groups(self.act(self.norm(self.first(image))))))
        large = F.pixel_shuffle(self.last(features), 2)
        gate = F.softmax(features.mean((2, 3)), -1)[:, :3, None, None]
        return (
            torch.tanh(large) * gate + F.interpolate(image, scale_factor=4, mode="bilinear") + large.mean((2, 3), True)
        )


@pytest.mark.parametrize(("opset", "ir"), [(11, 6), (17, 8)])
def test_older_opsets_agree_at_any_size(tmp_path, opset, ir):
    torch.manual_seed(0)
    report = export_module(EveryLayer(), (IMAGE,), tmp_path / "net.onnx", options=FileOptions(opset=opset))
    model = onnx.load(report.path)
    assert ({each.domain: each.version for each in model.opset_import}, model.ir_version) == ({"": opset}, ir)
    assert report.note == f"opset {opset}"
    assert len(report.cases) == 4
    assert report.max_difference is not None
    assert report.max_difference < 1e-5


def test_half_precision_and_integers_have_an_opset_too(tmp_path):
    config = {"ngf": 8, "num_blocks": 1}
    net = Generator.from_module(build("resnet", config), "resnet", config)
    images = [(torch.rand(4, 3, 16, 16) * 2 - 1,) for _ in range(8)]
    form = FileForm(net.build(), (images[0][0][:1],))
    for precision, opset in (("fp16", 11), ("int8", 13)):
        path, how = tmp_path / f"{precision}.onnx", Precision(precision, images, min_psnr_db=0)
        assert export_generator(net, form, path, "onnx_fixed", precision=how, opset=opset).note == f"opset {opset}"


def test_scales_for_each_channel_need_opset_13():
    node = onnx.helper.make_node("DequantizeLinear", ["weight", "scale"], ["result"], axis=0)
    model = onnx.helper.make_model(onnx.helper.make_graph([node], "net", [], []))
    with pytest.raises(ValueError, match="opset 12 has no scale for each channel in DequantizeLinear; integers need"):
        lowered(model, 12)


class Sampled(nn.Module):
    def forward(self, image: Tensor) -> Tensor:
        grid = F.affine_grid(torch.eye(2, 3)[None], [1, 3, 8, 8], align_corners=False)
        return F.grid_sample(image, grid, align_corners=False)


class Weighed(nn.Module):
    def forward(self, image: Tensor) -> Tensor:
        return F.softmax(image, 1)


@pytest.mark.parametrize(
    ("net", "opset", "message"),
    [
        (Sampled(), 13, "ONNX export of Sampled failed: opset 13 has no operator GridSample; take a newer one"),
        (Weighed(), 11, "opset 11 has Softmax only over the last axis, and this one is over axis 1"),
        (Weighed(), 10, "opset: got 10, expected 11 to "),
        (
            Weighed(),
            onnx.defs.onnx_opset_version(),
            r"opset: got \d+, but onnxruntime [\d.]+ takes none so new; take an older one",
        ),
    ],
)
def test_what_an_opset_lacks_is_said(tmp_path, net, opset, message):
    with pytest.raises(ExportError, match=message):
        export_module(net, (IMAGE,), tmp_path / "net.onnx", "onnx_fixed", FileOptions(opset=opset))
    assert not list(tmp_path.iterdir())


def test_only_onnx_has_opsets(tmp_path):
    with pytest.raises(ExportError, match="got opset 13 for the format 'torch', expected none, because only ONNX has"):
        export_module(nn.Conv2d(3, 3, 1), (IMAGE,), tmp_path / "net.pt2", options=FileOptions(opset=13))


class Spectral(nn.Module):
    def forward(self, image: Tensor) -> Tensor:
        return torch.fft.irfft2(torch.fft.rfft2(image) * 0.5, s=image.shape[-2:])


class Warped(nn.Module):
    def forward(self, image: Tensor) -> Tensor:
        grid = F.affine_grid(torch.eye(2, 3)[None].expand(len(image), 2, 3), image.shape, align_corners=False)
        return F.grid_sample(image, grid, align_corners=False)


class Modulated(nn.Module):
    def forward(self, image: Tensor, style: Tensor) -> Tensor:
        b, c, h, w = image.shape
        weight = style[:, None, :, None, None].expand(b, 4, c, 3, 3).reshape(4 * b, c, 3, 3)
        return F.conv2d(image.reshape(1, b * c, h, w), weight, padding=1, groups=b).reshape(b, 4, h, w)


@pytest.mark.parametrize("net", [Spectral(), Warped(), Modulated()], ids=lambda net: type(net).__name__)
def test_a_network_of_one_size_is_sent_to_the_format_that_takes_it(tmp_path, net):
    inputs = (IMAGE, torch.ones(1, 3)) if isinstance(net, Modulated) else (IMAGE,)
    with pytest.raises(ExportError, match=r"export of .*; one size works: take the format 'onnx_fixed'$"):
        export_module(net, inputs, tmp_path / "net.onnx")
    assert not list(tmp_path.iterdir())
