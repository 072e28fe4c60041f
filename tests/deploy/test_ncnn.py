"""ncnn files: the layers of upscalers, any size, the range and names of its programs, half precision, and refusals."""

from __future__ import annotations

import subprocess
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import gancompress
from gancompress.deploy import FileOptions, Precision, export_generator, export_module, usage
from gancompress.deploy.runtimes.ncnn_converter import _smallest
from gancompress.errors import ConfigError, ExportError
from gancompress.networks.families.equalized import blur
from gancompress.networks.file_form import FileForm
from gancompress.networks.generator import Generator
from gancompress.networks.registry import build

ncnn = pytest.importorskip("ncnn")
pytest.importorskip("pnnx")

RESNET = {"ngf": 4, "num_blocks": 1}
X2PLUS = {"nf": 4, "growth": 2, "num_blocks": 1, "scale": 2}


class EveryLayer(nn.Module):
    """Pixel unshuffle, reflection, PReLU, norms, transposed convolution and pixel shuffle; two outputs by name."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(12, 8, 3, padding=1, padding_mode="reflect")
        self.act, self.pad, self.norm = nn.PReLU(8), nn.ReflectionPad2d(1), nn.InstanceNorm2d(8)
        self.second, self.groups = nn.Conv2d(8, 8, 3), nn.GroupNorm(2, 8)
        self.up = nn.ConvTranspose2d(8, 8, 3, 2, 1, output_padding=1)
        self.last = nn.Conv2d(8, 12, 3, padding=1)

    def forward(self, image: Tensor, scale: Tensor) -> dict[str, Tensor]:
        features = self.act(self.first(F.pixel_unshuffle(image, 2)))
        features = self.groups(self.norm(self.second(self.pad(features)))) + features
        features = self.last(F.leaky_relu(self.up(features), 0.2))
        image = F.interpolate(image, scale_factor=2, mode="nearest") + F.pixel_shuffle(features, 2)
        return {"image": image * scale[:, :, None, None], "mean": features.mean((2, 3))}


def generator(family: str, config: dict[str, Any]) -> Generator:
    torch.manual_seed(0)
    return Generator.from_module(build(family, config), family, config)


def test_every_layer_of_upscalers_at_any_size(tmp_path):
    net, inputs = EveryLayer().eval(), (torch.rand(1, 3, 16, 24), torch.rand(1, 3))
    report = export_module(net, inputs, tmp_path / "net.param")
    assert [case.input_shapes[0] for case in report.cases] == [
        (1, 3, 16, 24),
        (2, 3, 16, 24),
        (1, 3, 32, 24),
        (1, 3, 16, 48),
    ]
    assert report.max_difference is not None
    assert report.max_difference < 1e-5
    assert sorted(file.name for file in tmp_path.iterdir()) == ["net.bin", "net.param"]
    opened = gancompress.load(report.path)
    assert [(each.name, each.shape) for each in opened._runner.inputs] == [
        ("input_0", (None, 3, None, None)),
        ("input_1", (None, 3)),
    ]
    found = opened.outputs(*inputs)
    assert list(found) == ["image", "mean"]
    torch.testing.assert_close(found["mean"], net(*inputs)["mean"].detach())


def test_programs_for_upscalers_find_their_names_and_range(tmp_path):
    net, image = generator("rrdbnet", X2PLUS), torch.rand(1, 3, 16, 12)
    report = export_generator(net, FileForm(net.build(), (image * 2 - 1,)), tmp_path / "x2.param", "ncnn")
    network = ncnn.Net()
    assert network.load_param(str(report.path)) == network.load_model(str(tmp_path / "x2.bin")) == 0
    extractor = network.create_extractor()
    extractor.input("data", ncnn.Mat(image[0].numpy()).clone())
    got = np.array(extractor.extract("output")[1])
    expected = net.build()(image * 2 - 1).detach()
    np.testing.assert_allclose(got, expected[0] * 0.5 + 0.5, atol=1e-5)
    rounding = 1e-5 * max(1.0, float(expected.abs().max()))  # values of fresh weights exceed the range of images
    torch.testing.assert_close(gancompress.load(report.path)(image * 2 - 1), expected, atol=rounding, rtol=0)
    scope: dict[str, Any] = {}
    exec(usage(report.path, [(1, 3, 8, 8)]).replace('"x2.', f'"{tmp_path}/x2.'), scope)
    zeros = net.build()(torch.zeros(1, 3, 8, 8)).detach()
    np.testing.assert_allclose(scope["result"], zeros, atol=1e-5)


def test_half_precision_is_half_as_large_and_compared(tmp_path):
    net, images = generator("resnet", RESNET), [(torch.rand(2, 3, 16, 16) * 2 - 1,)]
    form = FileForm(net.build(), images[0])
    half = export_generator(net, form, tmp_path / "half.param", "ncnn", precision=Precision("fp16", images))
    num_weights = sum(each.numel() for each in form.module.parameters())
    assert 2 * num_weights < half.file_bytes < 2.6 * num_weights
    assert half.quality is not None
    assert half.quality.psnr_db > 40
    assert gancompress.load(half.path, precision="fp16").contract["precision"] == "fp16"


class Nested(nn.Module):
    """Residual blocks of residual blocks: pnnx's name of each result holds that of the block before twice."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        features = self.first(image)
        for _ in range(30):
            features = features + (features - features.relu() * 0.1) * 0.01
        return features


def test_many_nested_sums_are_converted_at_small_sizes(tmp_path, monkeypatch):
    monkeypatch.setattr("gancompress.deploy.runtimes.ncnn_converter._TIMEOUT_S", 100)
    commands: list[list[str]] = []

    def run(command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        commands.append(command)
        return original(command, **options)

    original = subprocess.run
    monkeypatch.setattr(subprocess, "run", run)
    report = export_module(Nested().eval(), (torch.rand(1, 3, 64, 32),), tmp_path / "net.param")
    assert report.max_difference is not None
    assert report.max_difference < 1e-5
    assert commands[0][2:4] == ["inputshape=[1,3,16,8]f32", "inputshape2=[1,3,32,16]f32"]


class Strided(nn.Module):
    """Sixteen times smaller inside, rounded up: at 16x16 and at 32x32 its inner maps would not differ."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Sequential(*(nn.Conv2d(3, 3, 3, 2, 1) for _ in range(4)))

    def forward(self, image: Tensor) -> Tensor:
        return image + F.interpolate(self.down(image), scale_factor=16)


def test_inputs_of_the_converter_stay_so_large_that_the_same_sizes_are_free():
    axes = [{2, 3}]
    assert _smallest(Strided(), Strided(), (torch.rand(1, 3, 128, 128),), axes)[0].shape == (1, 3, 16, 16)
    assert _smallest(nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1), (torch.rand(1, 3, 24, 48),), axes)[0].shape[2] == 12


class Reshaped(nn.Module):
    def forward(self, image: Tensor) -> Tensor:
        b, c, h, w = image.shape
        return image.view(b, c, h // 2, 2, w // 2, 2).permute(0, 1, 3, 5, 2, 4).reshape(b, 4 * c, h // 2, w // 2)


class Sorted(nn.Module):
    def forward(self, image: Tensor) -> Tensor:
        return torch.cummax(image, 2)[0]


class Blurred(nn.Module):
    """Has an operator of this package, as StyleGAN2 does."""

    def forward(self, image: Tensor) -> Tensor:
        return blur(image, 1)


@pytest.mark.parametrize(
    ("net", "name", "message"),
    [
        (Reshaped(), "net.param", "it computes shapes from the size of its input, which ncnn cannot; write the pixels"),
        (Blurred(), "net.param", "it lacks the operator gancompress::blur2d; take another format or runtime"),
        (Sorted(), "net.param", "it lacks the operator .*cummax; take another format or runtime"),
        (nn.Conv2d(3, 3, 1), "net.ncnn", r"expected a name that ends in \.param: ncnn opens no other"),
    ],
)
def test_what_ncnn_cannot_do_is_said_in_one_line(net, name, message, tmp_path):
    with pytest.raises(ExportError, match=message) as error:
        export_module(net, (torch.rand(1, 3, 8, 8),), tmp_path / name, "ncnn", FileOptions(dynamic=None))
    assert "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())


def test_a_converter_that_does_not_end_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr("gancompress.deploy.runtimes.ncnn_converter._TIMEOUT_S", 1e-4)
    with pytest.raises(ExportError, match=r"^ncnn export: pnnx did not end within 0\.0001 s; export while"):
        export_module(nn.Conv2d(3, 3, 1), (torch.rand(1, 3, 8, 8),), tmp_path / "net.param")
    assert not list(tmp_path.iterdir())


def test_files_of_other_programs_are_opened(tmp_path):
    export_module(nn.Conv2d(3, 2, 1), (torch.rand(1, 3, 8, 8),), tmp_path / "net.param")
    weights = (tmp_path / "net.bin").read_bytes()
    (tmp_path / "net.bin").write_bytes(weights[: weights.index(b"PK\x03\x04")])
    network = gancompress.load(tmp_path / "net.param")
    assert network(torch.rand(1, 3, 8, 8)).shape == (1, 2, 8, 8)
    (tmp_path / "net.bin").unlink()
    with pytest.raises(ExportError, match=r"ncnn cannot run the file: .* weights in net\.bin"):
        gancompress.load(tmp_path / "net.param")
    with pytest.raises(ConfigError, match="got precision 'bf16', expected none"):
        gancompress.load(tmp_path / "net.param", precision="bf16")
