"""Core ML packages: what can be seen of them anywhere, and by a stand-in for Core ML how they are compared."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import gancompress
from gancompress.deploy import FileOptions, Precision, export_generator, export_module, find_format, usage
from gancompress.deploy.rewrites import rewritten
from gancompress.deploy.runtimes import coreml_runtime
from gancompress.errors import ExportError
from gancompress.networks.file_form import FileForm
from gancompress.networks.generator import Generator
from gancompress.networks.label_input import LabelInput
from gancompress.networks.registry import FAMILIES, build
from tests.cli.verbs import run

coremltools = pytest.importorskip("coremltools")
weights_of = pytest.importorskip("coremltools.optimize.coreml").get_weights_metadata

CONFIGS: dict[str, dict[str, Any]] = {
    "resnet": {"ngf": 5, "num_blocks": 1},
    "sngan_32": {"ngf": 4},
    "stylegan2": {"resolution": 8, "channel_max": 8, "latent_size": 6, "widths": {"layers.2.conv": 5}},
}
KINDS = coremltools.proto.FeatureTypes_pb2.ArrayFeatureType


def generator(family: str) -> Generator:
    net = build(family, CONFIGS[family])
    with torch.no_grad():
        for tensor in net.parameters():
            tensor.normal_() if tensor.dim() > 1 else tensor.uniform_()
    return Generator.from_module(net, family, CONFIGS[family])


def example(family: str) -> tuple[Tensor, ...]:
    return FAMILIES[family].architecture(CONFIGS[family]).example_inputs((32, 32))


class Tiny(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 3, 3, padding=1), nn.InstanceNorm2d(3)

    def forward(self, images):
        return torch.tanh(self.norm(self.conv(images)))


@pytest.mark.parametrize(("family", "precision"), [("resnet", "fp32"), ("resnet", "fp16"), ("sngan_32", "fp32")])
def test_a_package_holds_every_weight_to_the_bit(family, precision, tmp_path):
    net, inputs = generator(family), example(family)
    form = FileForm(net.build(), inputs)
    report = export_generator(net, form, tmp_path / "net.mlpackage", "coreml", precision=Precision(precision))
    held = [
        each.val for each in weights_of(coremltools.models.MLModel(str(report.path), skip_model_load=True), 1).values()
    ]
    network, _ = rewritten(form.module, find_format("coreml")[1].rewrites)
    used = {name: each for name, each in network.state_dict().items() if each.is_floating_point()}
    assert len(used) >= 8
    for name, weight in used.items():
        wanted = (weight.half() if precision == "fp16" else weight).numpy()
        same = [each for each in held if each.dtype == wanted.dtype and each.size == wanted.size]
        assert any(np.array_equal(each.ravel(), wanted.ravel()) for each in same), name


def test_what_a_package_says_of_itself(tmp_path):
    net, (image,) = generator("resnet"), example("resnet")
    path = tmp_path / "net.mlpackage"
    wanted = Precision("fp16", [(image,)])
    report = export_generator(net, FileForm(net.build(), (image,)), path, "coreml", precision=wanted)
    assert (report.quality is not None) == coreml_runtime.runs_here()
    spec = coremltools.utils.load_spec(str(path))
    described = [(each.name, each.type.multiArrayType) for each in (*spec.description.input, *spec.description.output)]
    assert [(name, list(array.shape), array.dataType) for name, array in described] == [
        ("input", [1, 3, 32, 32], KINDS.FLOAT32),
        ("output", [1, 3, 32, 32], KINDS.FLOAT32),
    ]
    operations = spec.mlProgram.functions["main"].block_specializations["CoreML6"].operations
    types = {each.type: each.outputs[0].type.tensorType.dataType for each in operations}
    data_type = type(operations[0].outputs[0].type.tensorType).DESCRIPTOR.fields_by_name["dataType"].enum_type
    assert types["conv"] == data_type.values_by_name["FLOAT16"].number
    assert types["instance_norm"] == data_type.values_by_name["FLOAT32"].number
    assert __file__.encode() not in b"".join(file.read_bytes() for file in path.rglob("*") if file.is_file())
    contract = gancompress.load(path).contract
    assert (contract["family"], contract["range"], contract["precision"]) == ("resnet", [-1, 1], "fp16")


def test_from_styles_and_noise_maps(tmp_path):
    net, inputs = generator("stylegan2"), (torch.randn(1, 4, 6), torch.randn(1, 4**2 + 2 * 8**2))
    report = export_generator(net, FileForm(net.build(), inputs), tmp_path / "net.mlpackage", "coreml")
    inputs = coreml_runtime.CoreMl().open(report.path).inputs
    assert [(each.name, each.shape) for each in inputs] == [("input_0", (1, 4, 6)), ("input_1", (1, 144))]


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_from_mel_arrays_to_waveforms(precision, tmp_path):
    """A vocoder's layers have one axis, and its transposed convolutions overlap."""
    net = nn.Sequential(nn.Conv1d(6, 4, 7, padding=3), nn.LeakyReLU(0.1), nn.ConvTranspose1d(4, 1, 16, 8, 4), nn.Tanh())
    mels = torch.randn(1, 6, 5)
    report = gancompress.export(net, mels, tmp_path / "net.mlpackage", precision=precision)
    spec = coremltools.utils.load_spec(str(report.path))
    (output,) = spec.description.output
    assert list(output.type.multiArrayType.shape) == [1, 1, 8 * 5]
    operations = spec.mlProgram.functions["main"].block_specializations["CoreML6"].operations
    assert {"conv", "conv_transpose", "leaky_relu", "tanh"} <= {each.type for each in operations}


def test_labels_and_truth_values_become_32_bit_integers(tmp_path):
    labels = torch.zeros(1, 8, 12, dtype=torch.int64)
    path, names = tmp_path / "net.mlpackage", ["labels", "edges"]
    export_module(
        LabelInput(nn.Conv2d(6, 3, 1), 5), (labels, labels == 0), path, options=FileOptions(input_names=names)
    )
    inputs = coreml_runtime.CoreMl().open(path).inputs
    assert [(each.name, each.shape, each.dtype) for each in inputs] == [
        ("labels", (1, 8, 12), torch.int32),
        ("edges", (1, 8, 12), torch.int32),
    ]


def stand_in(network: nn.Module, off: float) -> type:
    """Core ML, played by PyTorch, ``off`` from it."""

    class Predicting(coremltools.models.MLModel):
        def __init__(self, path: str, skip_model_load: bool = False, **options: Any) -> None:
            super().__init__(path, skip_model_load=True, **options)
            self.loaded = not skip_model_load

        def predict(self, given: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
            assert self.loaded
            with torch.no_grad():
                return {"output": network(torch.from_numpy(given["input"])).numpy() + off}

    return Predicting


def test_on_macos_a_package_is_compared_and_runs(tmp_path, monkeypatch):
    net, inputs = Tiny().eval(), (torch.rand(1, 3, 8, 8),)
    path = tmp_path / "net.mlpackage"
    monkeypatch.setattr(coreml_runtime, "runs_here", lambda: True)
    monkeypatch.setattr(coremltools.models, "MLModel", stand_in(net, 1e-4))
    report = export_module(net, inputs, path)
    assert report.not_compared is None
    assert report.max_difference == pytest.approx(1e-4, rel=1e-2)
    torch.testing.assert_close(gancompress.load(path)(inputs[0]), net(inputs[0]).detach() + 1e-4)
    scope: dict[str, Any] = {}
    monkeypatch.chdir(tmp_path)
    exec(usage(path), scope)
    assert scope["result"].shape == (1, 3, 8, 8)
    before = path.stat().st_ino
    monkeypatch.setattr(coremltools.models, "MLModel", stand_in(net, 0.01))
    with pytest.raises(ExportError, match=r"output is 0.01 from eager .* the tolerance is 0.001"):
        export_module(net, inputs, path)
    assert (list(tmp_path.iterdir()), path.stat().st_ino) == ([path], before)


@pytest.mark.skipif(coreml_runtime.runs_here(), reason="is about systems without Core ML")
def test_elsewhere_it_says_so(tmp_path):
    net = generator("resnet")
    net.save(tmp_path / "run")
    shown = run("export", tmp_path / "run", "--format", "coreml", "--size", "32x32")
    assert "not compared: Core ML runs on macOS only\n" in shown
    assert "bytes, this batch and size" in shown
    loaded = gancompress.load(tmp_path / "run" / "model.mlpackage")
    with pytest.raises(ExportError, match=f"runs on macOS only, and this is {sys.platform}; run it there, or export"):
        loaded(torch.zeros(1, 3, 32, 32))


def test_a_package_is_replaced_whole(tmp_path):
    path = tmp_path / "net.mlpackage"
    (path / "Data").mkdir(parents=True)
    (path / "Data" / "old").touch()
    report = export_module(Tiny(), (torch.rand(1, 3, 8, 8),), path)
    assert list(tmp_path.iterdir()) == [path]
    files = [file for file in path.rglob("*") if file.is_file()]
    assert {file.name for file in files} == {"Manifest.json", "model.mlmodel", "weight.bin"}
    assert report.file_bytes == sum(file.stat().st_size for file in files)


def test_names_that_cannot_be_written(tmp_path):
    with pytest.raises(ExportError, match=r"got .*/net.onnx, expected a name that ends in .mlpackage"):
        export_module(Tiny(), (torch.rand(1, 3, 8, 8),), tmp_path / "net.onnx", "coreml")
    (tmp_path / "net.mlpackage").touch()
    with pytest.raises(ExportError, match=r"cannot write .*/net.mlpackage: Not a directory"):
        export_module(Tiny(), (torch.rand(1, 3, 8, 8),), tmp_path / "net.mlpackage")
    assert [each.name for each in tmp_path.iterdir()] == ["net.mlpackage"]


def test_a_module_that_coremltools_refuses(tmp_path):
    class Bessel(nn.Module):
        def forward(self, values):
            return torch.special.bessel_j0(values)

    with pytest.raises(ExportError, match=r"^Core ML export of Bessel failed: .*bessel_j0") as caught:
        export_module(Bessel(), (torch.rand(1, 3),), tmp_path / "net.mlpackage")
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_inputs_in_any_order_in_memory_are_converted(tmp_path):
    """Label maps in a channel for each label are channels-last in memory."""
    inputs = torch.rand(1, 8, 8, 12).permute(0, 3, 1, 2)
    net = nn.Conv2d(12, 4, 3, padding=1)
    assert not inputs.is_contiguous()
    report = export_module(net, (inputs,), tmp_path / "m.mlpackage", "coreml")
    assert report.path.is_dir()
