"""Every format of a generator agrees with it, says what its user must know, and opens again by one call."""

from __future__ import annotations

import json
import sys
from functools import cache
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import gancompress
from gancompress.deploy import ExportReport, default_rewrites, export_generator, find_format, known_formats
from gancompress.deploy.runtimes import coreml_runtime
from gancompress.errors import CheckpointError, ConfigError, ExportError, InputSizeError
from gancompress.networks.file_form import FileForm
from gancompress.networks.generator import Generator
from gancompress.networks.registry import FAMILIES, build

pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")
PACKAGES = {"openvino": "openvino", "coreml": "coremltools", "litert": "litert_torch", "ncnn": "pnnx"}
PACKAGES |= {"executorch": "executorch"}
CONFIGS = {
    "resnet": {"ngf": 5, "num_blocks": 1},
    "unet": {"ngf": 4, "num_downs": 4},
    "sngan_32": {"ngf": 4},
}


def generator(family: str) -> Generator:
    net = build(family, CONFIGS[family])
    with torch.no_grad():
        for name, tensor in net.state_dict().items():
            if tensor.is_floating_point() and "running" not in name:
                tensor.normal_(0, (2 / max(1, tensor[0].numel())) ** 0.5) if tensor.dim() > 1 else tensor.uniform_()
    return Generator.from_module(net, family, CONFIGS[family])


def exported(net: Generator, inputs: tuple[Tensor, ...], *where: Any, **how: Any) -> ExportReport:
    return export_generator(net, FileForm(net.build(), inputs), *where, **how)


def example(family: str) -> tuple[torch.Tensor]:
    (fixed,) = FAMILIES[family].architecture(CONFIGS[family]).example_inputs((64, 64))
    return (torch.rand(fixed.shape) * 2 - 1,)


@pytest.fixture(scope="module")
def export_of(tmp_path_factory):
    """A family's generator and the report of its file in a format, exported once for all tests."""

    @cache
    def export(family: str, name: str) -> tuple[Generator, ExportReport]:
        net, folder = generator(family), tmp_path_factory.mktemp(f"{family}-{name}")
        return net, exported(net, example(family), folder / find_format(name)[1].file_name, name)

    return export


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """One generator in all formats, and its directory."""
    folder, net = tmp_path_factory.mktemp("files"), generator("resnet")
    net.save(folder / "run")
    paths = {"eager": folder / "run"}
    for name, kind in known_formats().items():
        if not _runs(name):
            continue
        paths[name] = folder / kind.file_name
        exported(net, example("resnet"), paths[name], name)
    return net, paths


def _runs(name: str) -> bool:
    """Whether a format's packages are installed, and its runtime is one of this system."""
    return (name not in PACKAGES or find_spec(PACKAGES[name]) is not None) and (
        name != "coreml" or coreml_runtime.runs_here()
    )


@pytest.mark.parametrize("name", known_formats())
@pytest.mark.parametrize("family", ["unet", "sngan_32"])
def test_other_families_in_every_format(family, name, export_of):
    if name in PACKAGES:
        pytest.importorskip(PACKAGES[name])
    net, report = export_of(family, name)
    files = [file for file in report.path.parent.rglob("*") if file.is_file()]
    assert report.file_bytes == sum(file.stat().st_size for file in files)
    assert tuple(change.rewrite for change in report.rewrites) == default_rewrites(net, name)
    assert any(change.layers for change in report.rewrites)
    loaded = gancompress.load(report.path, trust=True)
    assert loaded.contract["family"] == family
    assert loaded.contract["output"] == {"layout": "NCHW", "range": [-1, 1], "color_order": "RGB"}
    assert {each["rewrite"] for each in loaded.contract["rewrites"]} == {
        change.rewrite for change in report.rewrites if change.layers
    }
    if not _runs(name):
        assert (report.cases, report.max_difference) == ((), None)
        return
    free = 0 if not find_format(name)[1].free_sizes else 1 if family == "sngan_32" else 3
    assert len(report.cases) == 1 + free
    assert report.max_difference < 1e-4
    (inputs,) = example(family)
    with torch.no_grad():
        torch.testing.assert_close(loaded(inputs), net.build()(inputs), rtol=0, atol=1e-4)


def test_the_same_call_on_every_runtime_for_every_kind_of_image(files):
    net, paths = files
    pixels = (np.arange(64 * 64 * 3).reshape(64, 64, 3) * 7 % 256).astype(np.uint8)
    values = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 127.5 - 1
    with torch.no_grad():
        image = net.build()(values)
    expected = ((image[0].permute(1, 2, 0) + 1) * 127.5).round().clamp(0, 255).numpy()
    for path in paths.values():
        loaded = gancompress.load(path, trust=True)
        for result in (loaded(pixels), loaded(pixels[None])[0], np.asarray(loaded(Image.fromarray(pixels)))):
            assert (result.dtype, result.shape) == (np.uint8, (64, 64, 3))
            assert np.abs(result.astype(int) - expected).max() <= 1
        assert isinstance(loaded(Image.fromarray(pixels)), Image.Image)
        torch.testing.assert_close(loaded(values), image, rtol=0, atol=1e-4)
        np.testing.assert_allclose(loaded(values.numpy()), image.numpy(), rtol=0, atol=1e-4)


def test_what_a_loaded_network_refuses(files):
    _, paths = files
    loaded, fixed = gancompress.load(paths["onnx"]), gancompress.load(paths["onnx_fixed"])
    with pytest.raises(InputSizeError, match=r"got images of 66x64 .*divisible by 4 and at least 8 px; resize them"):
        loaded(torch.zeros(1, 3, 66, 64))
    with pytest.raises(
        InputSizeError, match=r"got values of 1x3x32x64 for input, expected 1x3x64x64, the size that the file"
    ):
        fixed(torch.zeros(1, 3, 32, 64))
    with pytest.raises(ConfigError, match=r"shape \[1, 4, 64, 64\], expected 3 channels in layout NCHW"):
        loaded(torch.zeros(1, 4, 64, 64))
    with pytest.raises(ConfigError, match=r"got a tensor of torch.int64, expected a float tensor"):
        loaded(torch.zeros(1, 3, 64, 64, dtype=torch.int64))
    with pytest.raises(ConfigError, match=r"got a list, expected a float tensor or array"):
        loaded([0.5])
    with pytest.raises(CheckpointError, match=r"nowhere.onnx: no such file"):
        gancompress.load("nowhere.onnx")
    with pytest.raises(ConfigError, match="got precision 'bf16', expected none, because only OpenVINO"):
        gancompress.load(paths["onnx"], precision="bf16")


def test_noise_is_no_picture(export_of):
    loaded = gancompress.load(export_of("sngan_32", "onnx")[1].path)
    assert loaded(torch.zeros(3, 128)).shape == (3, 3, 32, 32)
    with pytest.raises(ConfigError, match="got an image of bytes, but the network takes layout NC, distribution"):
        loaded(np.zeros((32, 32, 3), np.uint8))
    with pytest.raises(ConfigError, match=r"shape \[1, 100\], expected 128 channels in layout NC"):
        loaded(torch.zeros(1, 100))


def test_chosen_rewrites_and_none(tmp_path):
    net, inputs = generator("resnet"), example("resnet")
    chosen = exported(net, inputs, tmp_path / "a.onnx", "onnx_fixed", rewrites=["odd_transposed_convolutions"])
    assert [(each.rewrite, len(each.layers)) for each in chosen.rewrites] == [("odd_transposed_convolutions", 2)]
    plain = exported(net, inputs, tmp_path / "b.onnx", "onnx_fixed", rewrites=[])
    assert plain.rewrites == ()
    onnx = pytest.importorskip("onnx")
    operators = [{node.op_type for node in onnx.load(tmp_path / f"{name}.onnx").graph.node} for name in "ab"]
    assert ["ConvTranspose" in each for each in operators] == [False, True]
    metadata = {each.key: each.value for each in onnx.load(tmp_path / "a.onnx").metadata_props}
    assert json.loads(metadata["rewrites"])[0]["layers"] == ["up.0.conv", "up.1.conv"]


@pytest.mark.parametrize("name", ["onnx_fixed", "onnx"])
def test_constants_are_folded(name, export_of):
    onnx = pytest.importorskip("onnx")
    graph = onnx.load(export_of("unet", name)[1].path).graph
    constant = {each.name for each in graph.initializer}
    assert [node.op_type for node in graph.node if node.input and set(node.input) <= constant] == []
    shapes = {"Shape", "Gather", "Unsqueeze"} & {node.op_type for node in graph.node}
    assert shapes == set() or name == "onnx"


@pytest.mark.parametrize(
    ("name", "package", "extra"),
    [
        ("openvino", "openvino", "openvino"),
        ("onnx", "onnxruntime", "onnx"),
        ("coreml", "coremltools", "coreml"),
        ("litert", "litert_torch", "litert"),
        ("ncnn", "pnnx", "ncnn"),
        ("executorch", "executorch", "executorch"),
    ],
)
def test_a_missing_package_is_named_with_its_extra(name, package, extra, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ExportError, match=rf"needs the package {package}, .*: pip install 'gancompress\[{extra}\]'$"):
        exported(generator("resnet"), example("resnet"), tmp_path / find_format(name)[1].file_name, name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "package", "extra"),
    [
        ("model.onnx", "onnxruntime", "onnx"),
        ("model.xml", "openvino", "openvino"),
        ("model.mlpackage", "coremltools", "coreml"),
        ("model.tflite", "ai_edge_litert.interpreter", "litert"),
        ("model.ncnn.param", "ncnn", "ncnn"),
        ("model.pte", "executorch.runtime", "executorch"),
    ],
)
def test_a_missing_runtime_is_named_with_its_extra(name, package, extra, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    (tmp_path / name).touch()
    with pytest.raises(ExportError, match=rf"running it needs the package {package}, .*\[{extra}\]'$"):
        gancompress.load(tmp_path / name)


def test_unknown_format_and_rewrite(tmp_path):
    with pytest.raises(ConfigError, match=r"got the format 'onxx', expected a known one; did you mean 'onnx'\?"):
        exported(generator("resnet"), example("resnet"), tmp_path / "x", "onxx")
    with pytest.raises(ConfigError, match="rewrites: got 'fast', expected a known one"):
        exported(generator("resnet"), example("resnet"), tmp_path / "x", rewrites=["fast"])


def test_a_file_that_is_something_else(tmp_path):
    messages = {"a.onnx": "onnxruntime cannot run", "a.pt2": "PyTorch cannot read"}
    messages |= {"a.mlpackage": "Core ML cannot run"} if find_spec("coremltools") else {}
    messages |= {"a.tflite": "LiteRT cannot run"} if find_spec("ai_edge_litert") else {}
    for name, message in messages.items():
        (tmp_path / name).write_bytes(b"something else")
        with pytest.raises(ExportError, match=message) as caught:
            gancompress.load(tmp_path / name, trust=True)
        assert "\n" not in str(caught.value)
