"""Every file is opened again: what it stores, and what onnxruntime makes of it."""

from collections import Counter
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from gancompress.deploy import FileOptions, export_module
from gancompress.deploy import quantized as quantized_export
from gancompress.deploy.quantized import IMAGE_STEP, QuantizedReport, export_quantized, with_stored_integers
from gancompress.errors import ConfigError, ExportError
from gancompress.quantization import QuantizationOptions, calibrate, quantize, quantized_layers, round_once
from tests.quantization.networks import FAMILIES, images, network
from tests.quantization.test_attach import LAYERS

pytest.importorskip("onnxscript")
onnx = pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")


def calibrated(net: nn.Module, values: Tensor, **options) -> nn.Module:
    return calibrate(quantize(net, QuantizationOptions(**options)), [values], min_images=1).eval()


def two_layers() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 64, 3), nn.ReLU(), nn.ConvTranspose2d(64, 256, 4))


def weights_by_type(path: Path) -> Counter[str]:
    """Number of weights (tensors of two or more axes) of each type in a file."""
    count: Counter[str] = Counter()
    for tensor in onnx.load(path).graph.initializer:
        if len(tensor.dims) > 1:
            count[onnx.TensorProto.DataType.Name(tensor.data_type)] += 1
    return count


def largest_steps(report: QuantizedReport) -> float:
    """Largest difference of the file from eager, in steps of an 8-bit image."""
    return max(case.max_abs for case in report.file.cases) / IMAGE_STEP


def operators(path: Path) -> Counter[str]:
    return Counter(node.op_type for node in onnx.load(path).graph.node)


@pytest.mark.parametrize("name", ["reflect", "depthwise", "transposed", "transposed groups", "linear"])
def test_one_layer_computes_in_the_file_what_it_computes_in_eager(name, tmp_path):
    make, shape = LAYERS[name]
    values = torch.randn(shape)
    report = export_quantized(calibrated(make(), values, image=True), (values,), tmp_path / "net.onnx")
    assert largest_steps(report) < 0.01
    assert weights_by_type(tmp_path / "net.onnx") == {"INT8": 1}
    assert operators(tmp_path / "net.onnx")["QuantizeLinear"] == 1


@pytest.mark.parametrize("family", FAMILIES)
def test_the_file_of_a_family_is_its_quantized_network(family, tmp_path):
    photos = images(family)
    net = calibrated(network(family), photos)
    assert torch.equal(with_stored_integers(net)(photos), net(photos))

    path = tmp_path / "net.onnx"
    free = None if family == "unet" else [{0: "batch"}]  # files of any size take longer to write
    report = export_quantized(net, (photos[:1],), path, options=FileOptions(metadata={"made_by": "test"}, dynamic=free))
    num_layers = len(quantized_layers(net))
    assert weights_by_type(path) == {"INT8": num_layers}
    assert operators(path)["DequantizeLinear"] == 2 * num_layers - 1  # the image is not quantized
    assert report.stored_bits == dict.fromkeys(quantized_layers(net), 8)
    assert report.file.file_bytes == path.stat().st_size
    assert {prop.key for prop in onnx.load(path).metadata_props} == {"made_by"}

    [got] = ort.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, {"input": photos.numpy()})
    difference = (torch.from_numpy(got) - net(photos)).abs().mean()
    assert difference <= report.from_float.l1
    assert report.file.cases[0].mean_abs <= report.from_float.l1


def test_the_file_is_a_quarter_of_the_float_one(tmp_path):
    net, values = two_layers(), torch.randn(1, 3, 8, 8)
    whole = export_module(net, (values,), tmp_path / "float.onnx")
    report = export_quantized(calibrated(net, values), (values,), tmp_path / "net.onnx")
    assert 0.25 < report.file.file_bytes / whole.file_bytes < 0.28


@pytest.mark.parametrize(
    ("options", "stored", "rounding"),
    [
        ({"weight_bits": 4, "activation_bits": 4}, "INT8", "QuantizeLinear"),
        ({"weight_bits": 16, "activation_bits": 16}, "INT16", "Round"),
        ({"scheme": "gan_slimming"}, "INT8", "Round"),
    ],
    ids=["4 bits", "16 bits", "257 levels"],
)
def test_other_grids(options, stored, rounding, tmp_path):
    values = torch.randn(2, 3, 8, 8) * 3
    body = nn.Sequential(nn.Conv2d(3, 64, 3, padding=1), nn.Conv2d(64, 64, 3), nn.ConvTranspose2d(64, 3, 4))
    net = calibrated(body, values, **options)
    report = export_quantized(net, (values,), tmp_path / "net.onnx")
    assert largest_steps(report) < 0.5
    assert operators(tmp_path / "net.onnx")[rounding] == 2
    # The exporter computes what is made of a few numbers alone, so a small wide-grained weight may be stored as float.
    assert weights_by_type(tmp_path / "net.onnx")[stored] >= 1
    assert set(report.stored_bits.values()) == {16 if stored == "INT16" else 8}


def test_layers_that_stay_float_are_stored_as_float(tmp_path):
    values = torch.randn(1, 3, 8, 8)
    net = calibrated(two_layers(), values, layer_bits={"<last>": "float"}, activation_bits=None)
    report = export_quantized(net, (values,), tmp_path / "net.onnx")
    assert weights_by_type(tmp_path / "net.onnx") == {"INT8": 1, "FLOAT": 1}
    assert report.stored_bits == {"0": 8, "2": 32}
    assert operators(tmp_path / "net.onnx")["QuantizeLinear"] == 0
    assert largest_steps(report) < 0.01


def test_with_outputs_onnxruntime_convolves_in_integers(tmp_path):
    values = torch.randn(1, 3, 8, 8)
    reflecting = nn.Conv2d(8, 8, 3, padding=1, padding_mode="reflect")
    net = nn.Sequential(nn.Conv2d(3, 8, 3), reflecting, nn.InstanceNorm2d(8), nn.Conv2d(8, 3, 1))
    path, optimized = tmp_path / "net.onnx", tmp_path / "optimized.onnx"
    export_quantized(calibrated(net, values, outputs=True), (values,), path)
    settings = ort.SessionOptions()
    settings.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    settings.optimized_model_filepath = str(optimized)
    ort.InferenceSession(path, settings, providers=["CPUExecutionProvider"])
    assert operators(optimized)["QLinearConv"] == 2  # the first convolution reads the image as it is


def test_a_relu_before_a_rounding_is_left_to_its_range(tmp_path):
    values = torch.randn(1, 3, 8, 8)
    net = nn.Sequential(nn.Conv2d(3, 16, 3), nn.PixelShuffle(2), nn.ReLU(), nn.Conv2d(4, 16, 3), nn.ReLU())
    net = round_once(calibrated(net, values, image=True, outputs=True), values)
    plain, moved = tmp_path / "plain.onnx", tmp_path / "moved.onnx"
    export_quantized(net, (values,), plain)
    export_quantized(net, (values,), moved, options=FileOptions(integers=True))
    assert (operators(plain)["Relu"], operators(moved)["Relu"]) == (2, 1)  # the last one is not rounded
    first, second = (
        ort.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, {"input": values.numpy()})[0]
        for path in (plain, moved)
    )
    assert (first == second).all()


def test_what_cannot_be_exported_is_said(tmp_path):
    photos = images("unet")
    with pytest.raises(ExportError, match="got a float UnetGenerator; quantize it, or use export_module"):
        export_quantized(network("unet"), (photos,), tmp_path / "net.onnx")
    with pytest.raises(ConfigError, match=r"activations of down\.1\.conv, input have no range yet"):
        export_quantized(quantize(network("unet"), QuantizationOptions()), (photos,), tmp_path / "net.onnx")
    assert not list(tmp_path.iterdir())


def test_a_file_that_computes_something_else_is_not_left(tmp_path, monkeypatch):
    values = torch.randn(1, 3, 8, 8)
    net = calibrated(two_layers(), values)
    symbolic = quantized_export.symbolic

    def wrong(operator, inputs, *args, **kwargs):
        quantized, scale, *rest = inputs
        if operator == "DequantizeLinear" and quantized.dtype == torch.int8:
            scale = scale * 2
        return symbolic(operator, (quantized, scale, *rest), *args, **kwargs)

    monkeypatch.setattr(quantized_export, "symbolic", wrong)
    with pytest.raises(ExportError, match=r"the file is .* from eager in the mean, expected at most"):
        export_quantized(net, (values,), tmp_path / "net.onnx")
    with pytest.raises(ExportError, match="the tolerance is"):
        export_quantized(net, (values,), tmp_path / "net.onnx", tolerance_steps=1)
    assert not list(tmp_path.iterdir())
