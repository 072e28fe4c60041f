"""Files in fewer bits: what computes in integers, how close the images are, and what is chosen by measuring."""

from __future__ import annotations

import math
from collections import Counter
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_pre_hook

import gancompress
from gancompress.deploy import FileOptions, Precision, export_generator, file_name, find_format, usage
from gancompress.deploy.benchmark import FileRequest, export_fastest, fastest, write_files
from gancompress.deploy.benchmark import threads as by_threads
from gancompress.deploy.precision import in_integers
from gancompress.deploy.quantized import export_quantized
from gancompress.deploy.rewrites import rewritten
from gancompress.deploy.rewrites.aligned import slow_in_integers
from gancompress.deploy.runtimes import openvino_runtime
from gancompress.deploy.runtimes.integers import kinds_of_layers, without_rounding
from gancompress.deploy.runtimes.timed import RunTimes
from gancompress.errors import BudgetError, ConfigError, DataError, ExportError
from gancompress.networks.file_form import FileForm
from gancompress.networks.generator import Generator
from gancompress.networks.registry import build
from gancompress.quantization import QuantizationOptions, calibrate, quantize, quantized_layers, ranges_of

pytest.importorskip("onnxscript")
onnx = pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")

CONFIGS = {
    "unet": {"ngf": 16, "num_downs": 2},
    "resnet": {"ngf": 8, "num_blocks": 1},
    "steep": {"ngf": 4, "num_blocks": 1},  # with weights so large that rounding shows
    "mobile": {"ngf": 4, "num_blocks": 1, "separable": True},
}
DRAWN = torch.rand(32, 3, 16, 16, generator=torch.Generator().manual_seed(1)) * 2 - 1
IMAGES = [(batch,) for batch in DRAWN.split(4)]


def generator(name: str) -> Generator:
    torch.manual_seed(0)
    family = "unet" if name == "unet" else "resnet"
    gain = 16.0 if name == "steep" else 1.0
    net = build(family, CONFIGS[name])
    with torch.no_grad():
        for tensor in net.parameters():
            if tensor.dim() > 1:
                tensor.normal_(0, gain * (2 / tensor[0].numel()) ** 0.5)
    return Generator.from_module(net, family, CONFIGS[name])


def form(net: Generator, module: nn.Module | None = None) -> FileForm:
    return FileForm(module or net.build(), (IMAGES[0][0][:1],), axes=({},))


def test_large_images_are_calibrated_one_by_one_and_small_ones_as_before(monkeypatch):
    net = generator("unet").build()
    precision = Precision("int8", IMAGES, min_psnr_db=0)
    kind = gancompress.deploy.find_format("onnx")[1].integers
    assert kind is not None
    seen: list[int] = []

    def ranges() -> dict[str, Tensor]:
        return ranges_of(in_integers(net, kind, precision, ()).network)

    monkeypatch.setattr(
        "gancompress.deploy.precision.calibrate",
        lambda network, batches, **options: (
            seen.extend(len(each[0]) for each in batches) or calibrate(network, batches, **options)
        ),
    )
    expected = ranges()
    monkeypatch.setattr("gancompress.deploy.precision._MOST_PIXELS", 2 * 16 * 16)
    split = ranges()
    assert seen == [4] * 4 + [2] * 8
    for name, tensor in expected.items():
        torch.testing.assert_close(split[name], tensor)


def test_large_pictures_are_calibrated_by_parts_that_fit_the_memory(tmp_path, monkeypatch):
    monkeypatch.setattr("gancompress.deploy.tiles.choice._MEMORY_BYTES", 2**19)
    config, seen = {"nf": 4, "num_conv": 1}, []
    net = Generator.from_module(build("srvggnet_compact", config), "srvggnet_compact", config)
    taken = FileForm(net.build(), (torch.zeros(1, 3, 64, 64),))
    large = [(image.repeat(1, 1, 4, 4),) for (image,) in IMAGES]
    request = FileRequest(path=tmp_path / "a.onnx", format="onnx", precision="int8", images=large, min_psnr_db=0)
    net.locality(3)  # measured on strips of 64 px and more
    hook = register_module_forward_pre_hook(
        lambda module, args: seen.append(tuple(args[0].shape)) if isinstance(module, nn.Conv2d) else None
    )
    said: list[str] = []
    with hook:
        written = write_files(net, taken, [request, replace(request, precision="bf16")], say=said.append)
    assert len(written.reports) == len(written.failed) == 1
    side = max(shape[2] for shape in seen) // 2  # the comparison doubles each size
    assert 8 <= side < 64
    assert max(math.prod(shape[2:]) * shape[0] for shape in seen) == 2 * side**2
    assert sorted(said) == [
        f"calibration, and comparison of files of any size, run on parts of {side}x{side} of images of 64x64, so that "
        "memory stays bounded: pixels depend on their neighbourhood alone",
        *["writing a.onnx"] * 2,
    ]


@pytest.mark.parametrize("format", ["onnx_fixed", "openvino"])
def test_white_and_black_stay_so_in_an_upscaler_calibrated_on_pictures_without_them(format, tmp_path):
    pytest.importorskip("openvino" if format == "openvino" else "onnxruntime")
    config = {"nf": 16, "growth": 4, "num_blocks": 1}
    net = build("rrdbnet", config)
    with torch.no_grad():
        for name, tensor in net.named_parameters():
            tensor.zero_()
            if tensor.dim() > 1 and not name.startswith(("body", "conv_body")):
                tensor[range(3), range(3), 1, 1] = 1.0  # an image is enlarged, and nothing else
    upscaler, dim = Generator.from_module(net, "rrdbnet", config), [(0.4 * image[:, :, :8, :8],) for (image,) in IMAGES]
    how = Precision("int8", dim, min_psnr_db=0)
    file = FileForm(upscaler.build(), (dim[0][0][:1],), axes=({},))
    report = export_generator(upscaler, file, tmp_path / find_format(format)[1].file_name, format, precision=how)
    even = torch.tensor([-1.0, 1.0]).view(2, 1, 1, 1).expand(2, 3, 8, 8)
    got = torch.cat([gancompress.load(report.path)(each[None]) for each in even])
    assert got.shape == (2, 3, 32, 32)
    assert ((got - even[:, :, :1, :1]) * 127.5).abs().max() <= 1


def optimized(path: Path) -> Counter[str]:
    """Operators that onnxruntime runs."""
    settings = ort.SessionOptions()
    settings.optimized_model_filepath = str(path.with_suffix(".optimized"))
    settings.log_severity_level = 4
    ort.InferenceSession(path, settings, providers=["CPUExecutionProvider"])
    return Counter(node.op_type for node in onnx.load(path.with_suffix(".optimized")).graph.node)


@pytest.fixture(scope="module")
def unet(tmp_path_factory):
    net, path = generator("unet"), tmp_path_factory.mktemp("unet") / "net.onnx"
    return net, export_generator(net, form(net), path, precision=Precision("int8", IMAGES))


def test_a_network_without_instance_norms_computes_in_integers_from_end_to_end(unet):
    _, report = unet
    run = optimized(report.path)
    assert run["QLinearConv"] == 4
    assert run["QuantizeLinear"] == run["DequantizeLinear"] == 1  # what goes in, and what comes out
    assert not {"Conv", "ConvTranspose", "LeakyRelu", "Relu", "FusedConv"} & set(run)
    assert report.float_layers == ()


@pytest.mark.parametrize("padding", ["reflect", "zeros"])
def test_residual_sums_and_upsampling_are_integers_too(padding, tmp_path):
    config = {"ngf": 16, "num_blocks": 2, "separable": True, "padding": padding, "stem_kernel": 3}
    config |= {"norm": "batch", "separable_norm": "batch"}
    torch.manual_seed(0)
    net = Generator.from_module(build("resnet", config), "resnet", config)
    report = export_generator(net, form(net), tmp_path / "net.onnx", precision=Precision("int8", IMAGES, 0))
    run = optimized(report.path)
    assert run["QLinearAdd"] == 2
    assert run["QLinearConv"] + run["Conv"] == 5 + 2 * 4 + 1
    assert run["QuantizeLinear"] == run["DequantizeLinear"] == 1
    assert not {"Add", "Relu"} & set(run)


def test_the_quality_is_that_of_the_runtime_on_the_last_quarter(unet):
    net, report = unet
    eager, session = net.build(), ort.InferenceSession(report.path, providers=["CPUExecutionProvider"])
    held_out = torch.cat([batch for (batch,) in IMAGES[6:]])
    got = np.concatenate([session.run(None, {"input": each[None].numpy()})[0] for each in held_out])
    with torch.no_grad():
        squared = float((torch.from_numpy(got) - eager(held_out)).double().square().mean())
    assert report.quality is not None
    assert report.quality.num_images == 8
    assert report.quality.psnr_db == pytest.approx(10 * math.log10(4 / squared), abs=1e-3)
    assert report.quality.psnr_db > 30
    assert gancompress.load(report.path).contract["precision"] == "int8"


def test_depthwise_layers_are_float_among_norms_alone():
    frozen = {**CONFIGS["mobile"], "norm": "frozen", "separable_norm": "frozen"}
    with_norms, without = build("resnet", CONFIGS["mobile"]), build("resnet", frozen)
    rewrites = ["folded_batch_norms", "aligned_channels"]
    depthwise = ("blocks.0.conv1.depthwise", "blocks.0.conv2.depthwise")
    assert slow_in_integers(rewritten(with_norms.eval(), rewrites)[0]) == ("stem.conv", *depthwise, "head.conv")
    assert slow_in_integers(rewritten(without.eval(), rewrites)[0]) == ("stem.conv", "head.conv")


def test_where_integers_are_slow_or_too_far_layers_stay_float(tmp_path):
    net = generator("resnet")
    loose = export_generator(net, form(net), tmp_path / "a.onnx", precision=Precision("int8", IMAGES, 0))
    assert loose.float_layers == ("stem.conv",)  # 7x7 over three channels
    run = optimized(loose.path)
    assert (run["QLinearConv"], run["ConvTranspose"]) == (7, 0)
    assert loose.quality is not None
    wanted = loose.quality.psnr_db + 6
    close = export_generator(net, form(net), tmp_path / "b.onnx", precision=Precision("int8", IMAGES, wanted))
    assert close.quality is not None
    assert set(close.float_layers) > set(loose.float_layers)
    assert close.quality.psnr_db > wanted - 2  # it was reached on other images


def test_integers_stay_close_unless_asked_otherwise(tmp_path):
    net = generator("steep")
    reports = [
        export_generator(net, form(net), tmp_path / "a.onnx", precision=each)
        for each in (Precision("int8", IMAGES), Precision("int8", IMAGES, 0))
    ]
    close, loose = (report.quality.psnr_db for report in reports if report.quality is not None)
    assert close > max(28, loose + 1)  # 30 was reached on other images
    assert set(reports[0].float_layers) > set(reports[1].float_layers)


def test_files_of_every_precision_are_compared_on_images(tmp_path):
    net = generator("resnet")
    seen = []

    def distance(got, expected):
        seen.append((got, expected))
        return (got - expected).square().mean((1, 2, 3)).sqrt()

    for name, low, high in (("fp32", 90, 200), ("fp16", 35, 90)):
        seen.clear()
        precision = Precision(name, IMAGES[:2])
        quality = export_generator(net, form(net), tmp_path / f"{name}.onnx", precision=precision, perceptual=distance)
        assert quality.quality is not None
        assert quality.quality.num_images == len(seen) == 8
        assert low < quality.quality.psnr_db < high
        root_mean_square = 2 * 10 ** (-quality.quality.psnr_db / 20)
        assert quality.quality.perceptual == pytest.approx(root_mean_square, rel=0.2)
    assert export_generator(net, form(net), tmp_path / "a.onnx", perceptual=distance).quality is None


def test_trained_ranges_and_float_layers_are_kept(tmp_path):
    net = generator("unet")
    options = QuantizationOptions(layer_bits={"down.1.conv": "float"})
    module = calibrate(quantize(net.build(), options), [IMAGES[0][0] * 0.5], min_images=1).eval()
    trained = {name: float(tensor) for name, tensor in ranges_of(module).items()}
    as_they_come = Precision("int8", IMAGES, 0)
    report = export_generator(net, form(net, module), tmp_path / "net.onnx", precision=as_they_come)
    assert report.float_layers == ("down.1.conv",)
    scales = {
        tensor.name: float(onnx.numpy_helper.to_array(tensor))
        for tensor in onnx.load(report.path).graph.initializer
        if tensor.name.endswith("input_quantizer.scale")
    }
    assert len(scales) == len(quantized_layers(module)) - 1  # the image stays float, as it was trained
    for name, scale in scales.items():
        layer = name.split(".conv.")[0] + ".conv"
        lower, upper = (trained[f"{layer}.input_quantizer.{end}"] for end in ("lower", "upper"))
        assert scale == pytest.approx((max(upper, 0) - min(lower, 0)) / 255, rel=1e-5)


def test_half_precision_takes_and_gives_floats(tmp_path):
    net = generator("resnet")
    report = export_generator(net, form(net), tmp_path / "net.onnx", precision=Precision("fp16"))
    assert 1e-6 < report.max_difference < 0.064
    graph = onnx.load(report.path).graph
    weights = {tensor.data_type for tensor in graph.initializer if len(tensor.dims) > 1}
    assert weights == {onnx.TensorProto.FLOAT16}
    assert graph.input[0].type.tensor_type.elem_type == graph.output[0].type.tensor_type.elem_type == 1


def test_openvino_takes_integers_and_bf16(tmp_path):
    pytest.importorskip("openvino")
    net, image = generator("unet"), IMAGES[7][0][:1]
    with torch.no_grad():
        expected = net.build()(image)
    for precision in ("int8", "bf16"):
        path = tmp_path / file_name("openvino", precision)
        images = IMAGES if precision == "int8" else ()
        export_generator(net, form(net), path, "openvino", precision=Precision(precision, images))
        loaded = gancompress.load(path)
        assert loaded.contract["precision"] == precision
        assert (loaded(image) - expected).abs().mean() < 0.05
    assert (tmp_path / "model.int8.bin").stat().st_size < 0.5 * (tmp_path / "model.bf16.bin").stat().st_size


def test_openvino_convolves_in_integers_beside_norms_and_in_transposed_layers(tmp_path):
    openvino = pytest.importorskip("openvino")
    net = generator("resnet")  # its first transposed convolution reads a sum, of both signs
    report = export_generator(net, form(net), tmp_path / "net.xml", "openvino", precision=Precision("int8", IMAGES, 0))
    core = openvino_runtime._core(openvino)  # a second one would break the signals of the process
    run = core.compile_model(core.read_model(report.path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    facts = [each.get_rt_info() for each in run.get_runtime_model().get_ordered_ops()]
    kernels = {
        kind: [each["primitiveType"].astype(str) for each in facts if each["layerType"].astype(str) == kind]
        for kind in ("Convolution", "Deconvolution", "Pad")
    }
    assert {kind: len(names) for kind, names in kernels.items()} == {"Convolution": 6, "Deconvolution": 2, "Pad": 4}
    assert all(name.lower().endswith("i8") for names in kernels.values() for name in names), kernels


@pytest.mark.parametrize("name", ["model.onnx", "model.xml", "model.pt2", "model.tflite"])
def test_the_usage_example_runs(name, tmp_path, monkeypatch):
    net, path = generator("unet"), tmp_path / name
    format = {".onnx": "onnx", ".xml": "openvino", ".pt2": "torch", ".tflite": "litert"}[path.suffix]
    if format in ("openvino", "litert"):
        pytest.importorskip({"openvino": "openvino", "litert": "litert_torch"}[format])
    report = export_generator(net, form(net), path, format)
    monkeypatch.chdir(tmp_path)
    with torch.no_grad():
        expected = net.build()(torch.zeros(1, 3, 16, 16))
    for threads in (None, 1):
        text = usage(path, report.cases[0].input_shapes, threads)
        assert ("thread" in text.lower()) == (threads is not None)
        assert "# images, RGB in [-1, 1], this batch and size" in text
        assert len(text.splitlines()) <= 10
        scope: dict = {}
        exec(text, scope)
        np.testing.assert_allclose(np.asarray(scope["result"]), expected.numpy(), atol=1e-4)


def test_a_layer_out_of_integers_computes_with_rounded_weights(tmp_path):
    net = generator("mobile")
    everything = Precision("int8", IMAGES, 0, float_layers=())
    report = export_generator(net, form(net), tmp_path / "all.onnx", precision=everything)
    kinds = kinds_of_layers(report.path)
    assert sorted(map(len, kinds)) == [1, 1, 1, 1, 1, 1, 2, 2]
    (depthwise,) = [layers for layers in kinds if layers[0].endswith("depthwise")]
    assert depthwise == ("blocks.0.conv1.depthwise", "blocks.0.conv2.depthwise")
    every = [layer for layers in kinds for layer in layers]
    without_rounding(report.path, every, tmp_path / "float.onnx")
    run = optimized(tmp_path / "float.onnx")
    assert not {"QuantizeLinear", "DequantizeLinear", "QLinearConv"} & set(run)
    without_rounding(report.path, depthwise, tmp_path / "some.onnx")
    assert optimized(tmp_path / "some.onnx")["QLinearConv"] == len(every) - 2
    image = IMAGES[0][0][:1]
    with torch.no_grad():
        expected = net.build()(image)
    assert (gancompress.load(tmp_path / "float.onnx")(image) - expected).abs().mean() < 0.05


def test_layers_whose_padding_shares_a_zero_come_out_of_integers_alone(tmp_path):
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 16, 3), nn.ReLU(), nn.ZeroPad2d(1), nn.Conv2d(16, 16, 3), nn.ReLU(), nn.ZeroPad2d(1)]
    net, image = nn.Sequential(*layers, nn.Conv2d(16, 16, 3)), IMAGES[0][0]
    made = calibrate(quantize(net, QuantizationOptions(image=True, outputs=True)), [image], min_images=1)
    with torch.no_grad():
        expected = made.eval()(image[:1])
    export_quantized(made, (image[:1],), tmp_path / "all.onnx", options=FileOptions(integers=True))
    for layer in ("0", "3", "6"):
        without_rounding(tmp_path / "all.onnx", (layer,), tmp_path / "some.onnx")
        session = ort.InferenceSession(tmp_path / "some.onnx", providers=["CPUExecutionProvider"])
        (got,) = session.run(None, {"input": image[:1].numpy()})
        assert np.abs(got - expected.numpy()).mean() < 0.02


class _Timer:
    """Takes the time that a file would take where depthwise layers are slow in integers, and all others fast."""

    def __init__(self, task) -> None:
        graph = onnx.load(task.path).graph
        rounded = {node.input[1] for node in graph.node if node.op_type == "QuantizeLinear"}
        weights = [tensor.name for tensor in graph.initializer if ".weight" in tensor.name or ".float" in tensor.name]
        inputs = {name.partition(".input_quantizer")[0] for name in rounded if ".input_quantizer" in name}
        slow = sum(name.endswith("depthwise") for name in inputs)
        self.ms = 99.0 + 2 * slow - (len(inputs) - slow) if weights else 99.0

    def times(self, num_runs):
        return RunTimes([self.ms] * num_runs, [self.ms] * num_runs)


@pytest.fixture
def told(monkeypatch):
    """Files are not timed; `_Timer` tells what they would take. How many were open at once."""
    at_once: list[int] = []

    def timers(tasks):
        at_once.append(len(tasks))
        return nullcontext({name: _Timer(task) for name, task in tasks.items()})

    monkeypatch.setattr(fastest, "workers", timers)
    monkeypatch.setattr(by_threads, "workers", timers)
    return at_once


def test_the_fastest_file_keeps_layers_float_that_do_not_pay(tmp_path, told, monkeypatch):
    monkeypatch.setattr(fastest, "_AT_ONCE", 4)
    judge, judged_on = fastest.quality_of, []
    monkeypatch.setattr(fastest, "quality_of", lambda *args: judged_on.append(args[2]) or judge(*args))
    net = generator("mobile")
    result = export_fastest(net, form(net), tmp_path / "net.onnx", "onnx", IMAGES, 10, rounds=2)
    fp32, whole, mixed = result.tried
    assert [fp32.name, whole.name, mixed.name] == ["fp32", "int8, all layers", "int8 where it pays"]
    assert [each.best for each in result.tried] == [False, False, True]
    assert mixed.faster > whole.faster > fp32.faster == 1
    assert mixed.faster_low <= mixed.faster <= mixed.faster_high
    assert mixed.psnr_db == result.report.quality.psnr_db
    assert judged_on == [IMAGES[4:6]] * 2  # and reported of the rest, by which nothing is chosen
    assert result.report.quality.num_images == 8
    assert result.report.float_layers == ("blocks.0.conv1.depthwise", "blocks.0.conv2.depthwise")
    assert max(told) == 4
    assert len(told) > 2  # kinds of layers are timed a few at once, then the files
    assert gancompress.load(tmp_path / "net.onnx")(IMAGES[0][0][:1]).shape == (1, 3, 16, 16)
    strict = export_fastest(net, form(net), tmp_path / "strict.onnx", "onnx", IMAGES, 500, rounds=2)
    assert [each.name for each in strict.tried if each.best] == ["fp32"]
    assert strict.report.path == tmp_path / "strict.onnx"


def test_float32_is_the_fastest_file_of_a_network_that_integers_do_not_take(tmp_path, told):
    net, lines = Generator.from_module(nn.Sequential(nn.PReLU(), nn.Tanh())), []
    result = export_fastest(net, form(net), tmp_path / "net.onnx", "onnx", IMAGES, rounds=2, say=lines.append)
    assert [(each.name, each.best) for each in result.tried] == [("fp32", True)]
    assert any(line.startswith("int8: got a network all of whose layers stay float") for line in lines)
    assert result.report.path.is_file()


class Blend(nn.Module):
    """Of a photo and where to keep it."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(4, 16, 3, padding=1), nn.Conv2d(16, 3, 3, padding=1)

    def forward(self, photo: Tensor, kept: Tensor) -> Tensor:
        made = self.last(torch.relu(self.first(torch.cat([photo, kept], 1))))
        return kept * photo + (1 - kept) * made.tanh()


def test_the_fastest_file_of_several_inputs(tmp_path, told):
    torch.manual_seed(0)
    module = Blend()
    net = Generator.from_module(module, f"{__name__}:Blend", {})
    pairs = [(photo, (photo[:, :1] > 0).float()) for (photo,) in IMAGES]
    inputs = tuple(each[:1] for each in pairs[0])
    taken = FileForm(module, inputs, axes=({}, {}))
    result = export_fastest(net, taken, tmp_path / "net.onnx", "onnx", pairs, 0, rounds=2)
    assert [each.name for each in result.tried if each.best] == ["int8, all layers"]
    network = gancompress.load(tmp_path / "net.onnx")
    with torch.no_grad():
        torch.testing.assert_close(network(*inputs), module(*inputs), rtol=0, atol=0.03)


def test_a_quantized_network_is_not_timed_against_itself(tmp_path):
    net = generator("unet")
    made = quantize(net.build(), QuantizationOptions(image=True))
    with pytest.raises(ConfigError, match="fastest: got a quantized network, expected a float one"):
        export_fastest(net, form(net, made), tmp_path / "net.onnx", "onnx", IMAGES)


def test_what_does_not_fit_is_said(tmp_path):
    net = generator("unet")
    with pytest.raises(DataError, match=r"calibration: got 8 images, expected at least 32 like those"):
        export_generator(net, form(net), tmp_path / "a.onnx", precision=Precision("int8", IMAGES[:2]))
    with pytest.raises(ExportError, match=r"got precision 'int8' for the format 'torch', expected fp32; int8 takes"):
        export_generator(net, form(net), tmp_path / "a.pt2", "torch", precision=Precision("int8", IMAGES))
    with pytest.raises(BudgetError, match="int8: only with all layers in float the output has 500 dB"):
        export_generator(net, form(net), tmp_path / "a.onnx", precision=Precision("int8", IMAGES, 500))
    assert list(tmp_path.iterdir()) == []


class HandWrittenNorm(nn.Module):
    """An instance norm as many people write it."""

    def forward(self, x: Tensor) -> Tensor:
        centred = x - x.mean((2, 3), keepdim=True)
        return centred / (centred.square().mean((2, 3), keepdim=True) + EPSILON).sqrt()


EPSILON = 0.1
"""So large that an image is off by 0.1 where a runtime leaves it out."""


def zeroed(layer: nn.ConvTranspose2d) -> nn.ConvTranspose2d:
    """Set a bias to zeros, which converters drop: the initial one of SPADE's and CycleGAN's layers."""
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
    return layer


LAYERS = {
    "hand-written norm": lambda: [nn.Conv2d(3, 16, 3, padding=1, bias=False), HandWrittenNorm()],
    "transposed, a bias of zeros": lambda: [
        zeroed(nn.ConvTranspose2d(3, 16, 3, padding=1)),
        nn.InstanceNorm2d(16, 0.1),
    ],
}


@pytest.mark.parametrize("kind", LAYERS)
def test_openvino_keeps_the_epsilon_of_a_norm_behind_a_layer_without_bias(kind, tmp_path):
    pytest.importorskip("openvino")
    torch.manual_seed(0)
    net = nn.Sequential(*LAYERS[kind](), nn.ReLU(), nn.Conv2d(16, 3, 3, padding=1, bias=False), nn.Tanh()).eval()
    report = gancompress.export(net, DRAWN[:1], tmp_path / "a.xml", precision="int8", calibration=DRAWN, min_psnr_db=0)
    assert report.float_layers == ()
    assert report.quality is not None
    assert report.quality.mean_abs < 0.01
    assert net[0].bias is None or not net[0].bias.any()


def test_half_precision_that_is_far_on_images_is_refused_before_it_is_published(tmp_path):
    net, images = nn.Sequential(nn.Conv2d(3, 3, 1)), [(torch.rand(1, 3, 8, 8),)] * 2
    (tmp_path / "net.onnx").write_bytes(b"old")
    generator = Generator.from_module(net)
    how = Precision("fp16", images, min_psnr_db=200)
    message = r"fp16: got \d+\.\d dB to the float network on 2 images, expected 200; export fp32, or bf16 where there"
    with pytest.raises(BudgetError, match=message):
        export_generator(generator, FileForm(net, images[0]), tmp_path / "net.onnx", "onnx_fixed", precision=how)
    assert [file.read_bytes() for file in tmp_path.iterdir()] == [b"old"]
