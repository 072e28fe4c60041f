"""Ranges, colour orders and layouts are converted at a network's boundary, wherever the network goes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import gancompress
from gancompress.channels import materialise, trace
from gancompress.deploy import export_module
from gancompress.errors import ConfigError
from gancompress.jobs.pipeline import Pipeline
from gancompress.jobs.recipe import load_job
from gancompress.jobs.steps import NetworkOptions
from gancompress.networks.cut import cut
from gancompress.networks.generator import Generator
from gancompress.networks.image_format import ImageFormat, Images, fitting_ranges, give_boundary, measured_images
from gancompress.networks.registry import architecture_of

from ..cli import verbs

IMAGE = torch.linspace(-1, 1, 3 * 16 * 16).view(1, 3, 16, 16)


class Sigmoid(nn.Module):
    """Images in [0, 1]."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.enter = nn.Conv2d(3, width, 4, stride=2, padding=1)
        self.leave = nn.ConvTranspose2d(width, 3, 4, stride=2, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        return self.leave(self.enter(image).relu()).sigmoid()


class Keeps(nn.Module):
    """Returns what it is given, darker than the range never."""

    def __init__(self, low: float, high: float) -> None:
        super().__init__()
        self.low, self.high = low, high

    def forward(self, image: Tensor) -> Tensor:
        return image.clamp(self.low, self.high)


PATH = f"{Sigmoid.__module__}:Sigmoid"
UNIT = Images.parse("0..1")


@torch.no_grad()
def directly(generator: Generator, image: Tensor) -> Tensor:
    """The network itself, its input and output converted by hand."""
    network = Sigmoid(generator.state["enter.bias"].shape[0])
    network.load_state_dict(generator.state)
    return network.eval()((image + 1) / 2) * 2 - 1


@pytest.fixture
def generator() -> Generator:
    torch.manual_seed(0)
    return Generator.of(architecture_of(PATH, {}, UNIT))


@pytest.mark.parametrize(
    ("text", "input_range", "output_range"),
    [
        ("0..1", (0, 1), (0, 1)),
        ("-1..1", (-1, 1), (-1, 1)),
        ("0..255 to 0..1", (0, 255), (0, 1)),
        ("unchanged to -0.5..0.5", None, (-0.5, 0.5)),
    ],
)
def test_ranges_as_users_write_them(text, input_range, output_range):
    images = Images.parse(text)
    assert (images.input.range, images.output.range) == (input_range, output_range)
    assert str(images) == text
    assert Images.from_description(images.describe()) == images


@pytest.mark.parametrize("text", ["0-1", "1..0", "0..1 to", "", "0..1 to 0..1 to 0..1", "0..x"])
def test_what_is_no_range(text):
    with pytest.raises(ConfigError, match=r"range: got '.*', expected two rising numbers such as 0..1, or two ranges"):
        Images.parse(text)


def test_every_format_is_converted_both_ways():
    kind = ImageFormat((0.0, 255.0), "BGR", "NHWC")
    inside = kind.from_standard(IMAGE)
    assert inside.shape == (1, 16, 16, 3)
    torch.testing.assert_close(inside[..., 0], (IMAGE[:, 2] + 1) * 127.5)
    torch.testing.assert_close(kind.to_standard(inside), IMAGE)


def test_unset_options_leave_no_trace_in_fingerprints():
    assert NetworkOptions(family="resnet").model_dump() == {"family": "resnet", "config": {}}
    assert NetworkOptions(family="resnet", range="0..1").model_dump()["range"] == "0..1"
    with pytest.raises(ConfigError, match=r"range: got '01', expected two rising numbers"):
        NetworkOptions(family="resnet", range="01")
    with pytest.raises(ConfigError, match=r"resnet: range: got measured for fresh weights, expected a range such as"):
        NetworkOptions(family="resnet", range="measured").fresh(0)


def test_noise_and_labels_are_not_images():
    network = give_boundary(nn.Identity(), UNIT)
    for given in (torch.ones(2, 5), torch.ones(2, 4, 4, dtype=torch.int64)):
        assert network(given) is given


def test_built_narrowed_saved_and_exported(generator, tmp_path):
    network = generator.build()
    assert torch.equal(network(IMAGE), directly(generator, IMAGE))
    assert list(network.state_dict()) == list(generator.state)
    graph = trace(network, (IMAGE,), multiple=1, minimum=1)
    narrow = cut(generator, graph, graph.plan({"enter": 5}))
    assert torch.equal(narrow.build()(IMAGE), directly(narrow, IMAGE))
    assert torch.equal(materialise(network, graph, graph.plan({"enter": 5}))(IMAGE), directly(narrow, IMAGE))
    narrow.save(tmp_path / "net")
    assert torch.equal(Generator.load(tmp_path / "net", trust=True).build()(IMAGE), directly(narrow, IMAGE))
    loaded = gancompress.load(tmp_path / "net", trust=True)
    assert torch.equal(loaded(IMAGE), directly(narrow, IMAGE))
    assert loaded.contract["output"]["range"] == [-1, 1]
    pixels = ((IMAGE[0].permute(1, 2, 0) + 1) * 127.5).round().to(torch.uint8)
    bytes_in = pixels.permute(2, 0, 1)[None] / 127.5 - 1
    expected = ((directly(narrow, bytes_in) + 1) * 127.5).round().to(torch.uint8)[0].permute(1, 2, 0)
    assert (loaded(pixels.numpy()) == expected.numpy()).all()
    with pytest.raises(ConfigError, match=r"got values of shape \[3, 16, 16\], expected images in layout NCHW"):
        loaded(IMAGE[0])
    export_module(narrow.build(), (IMAGE,), tmp_path / "net.onnx")
    exported = gancompress.load(tmp_path / "net.onnx")
    torch.testing.assert_close(exported(IMAGE), directly(narrow, IMAGE), atol=1e-5, rtol=0)


@pytest.mark.parametrize("limits", [(-1.0, 1.0), (0.0, 1.0), (0.0, 255.0)])
def test_measured_on_images(limits):
    assert measured_images(Keeps(*limits), IMAGE).input.range == limits


def test_a_network_that_treats_every_scale_alike_is_taken_to_be_in_0_to_1():
    assert fitting_ranges(nn.Identity(), IMAGE) == [(-1.0, 1.0), (0.0, 1.0), (0.0, 255.0)]
    assert fitting_ranges(Keeps(0.0, 255.0), IMAGE) == [(0.0, 1.0), (0.0, 255.0)]
    assert measured_images(nn.Identity(), IMAGE).input.range == (0.0, 1.0)


TRAINING = {"num_images": 8, "num_decay_images": 0, "batch_size": 4, "checkpoint_every": 8, "log_every": 4}


def run(teacher: str, directory: Path) -> tuple[Generator, list[str]]:
    job = load_job(
        "quickstart",
        [
            "teacher.shipped=null",
            "teacher.train=null",
            *(f"teacher.{each}" for each in teacher.split("; ")),
            "data.image_size=16",
            "data.num_images={train: 8, search: 4, test: 4}",
            "budget={reduction: 1.5}",
            "steps=[{kind: distill, inherit_discriminator: false, multiple: 1, "
            f"distillation: {{terms: [l1, features], reconstruct: teacher}}, training: {TRAINING}}}]",
            "exports=[onnx]",
            "metrics={against_real: [psnr], against_teacher: [psnr]}",
        ],
    )
    said: list[str] = []
    outcome = Pipeline(job, directory, said.append).run()
    assert outcome is not None
    return outcome.compressed.generator, said


def test_a_job_of_a_network_in_0_to_1(generator, tmp_path):
    torch.save(dict(generator.state), tmp_path / "net.pt")
    given = f"checkpoint={tmp_path / 'net.pt'}; family='{PATH}'"
    compressed, said = run(f"{given}; range=0..1", tmp_path / "run")
    assert compressed.architecture.images == UNIT
    assert not any("declares no range" in line for line in said)
    expected = directly(compressed, IMAGE)
    for written in (tmp_path / "run", *(tmp_path / "run").rglob("*.onnx")):
        torch.testing.assert_close(gancompress.load(written, trust=True)(IMAGE), expected, atol=1e-5, rtol=0)
    assert any("feature maps compared: enter, chosen automatically" in line for line in said)

    undeclared, said = run(given, tmp_path / "other")
    assert undeclared.architecture.images is None
    assert sum("Sigmoid declares no range of its images, which are taken to be in -1..1" in line for line in said) == 1


def test_range_on_the_command_line(generator, tmp_path):
    torch.save(dict(generator.state), tmp_path / "net.pt")
    named = [tmp_path / "net.pt", "--family", PATH, "--size", "16x16", "--out", tmp_path / "out.onnx"]
    verbs.run("export", *named, "--range", "0..1")
    torch.testing.assert_close(
        gancompress.load(tmp_path / "out.onnx")(IMAGE), directly(generator, IMAGE), atol=1e-5, rtol=0
    )
    with pytest.raises(ConfigError, match=r"range: got '1', expected two rising numbers such as 0..1"):
        verbs.run("export", *named, "--range", "1")
