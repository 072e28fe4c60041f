"""Every exported file is opened again, at sizes that the exporter has not seen."""

import sys

import pytest
import torch
from torch import Tensor, nn

from gancompress.deploy import FileOptions, export_module
from gancompress.deploy.runtimes import onnx_file, onnx_runtime
from gancompress.deploy.runtimes.onnx_runtime import OnnxRuntime
from gancompress.deploy.runtimes.runner import Runner
from gancompress.errors import ExportError

pytest.importorskip("onnxscript")
onnx = pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")


class Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.ReflectionPad2d(1), nn.Conv2d(width, width, 3), nn.InstanceNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


class UNet(nn.Module):
    """Takes multiples of 4 pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.down1 = nn.Sequential(nn.Conv2d(3, 4, 4, 2, 1), nn.LeakyReLU(0.2))
        self.down2 = nn.Sequential(nn.Conv2d(4, 8, 4, 2, 1), nn.BatchNorm2d(8), nn.LeakyReLU(0.2))
        self.up2 = nn.Sequential(nn.ConvTranspose2d(8, 4, 4, 2, 1), nn.BatchNorm2d(4), nn.Dropout(), nn.ReLU())
        self.up1 = nn.Sequential(nn.ConvTranspose2d(8, 3, 4, 2, 1), nn.Tanh())

    def forward(self, x: Tensor) -> Tensor:
        skip = self.down1(x)
        return self.up1(torch.cat([skip, self.up2(self.down2(skip))], dim=1))


class Stylise(nn.Module):
    """Two images of different sizes, two outputs."""

    def forward(self, image: Tensor, style: Tensor) -> tuple[Tensor, Tensor]:
        mean = style.mean((2, 3), keepdim=True)
        return image * mean, mean.flatten(1)


class Frozen(nn.Module):
    """A branch on the batch: the file can hold only one side."""

    def forward(self, x: Tensor) -> Tensor:
        return x + 1 if x.shape[0] == 2 else x


class Spectrum(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.linalg.svdvals(x)


def resnet() -> nn.Module:
    return nn.Sequential(
        nn.ReflectionPad2d(3),
        nn.Conv2d(3, 4, 7),
        nn.InstanceNorm2d(4),
        nn.ReLU(inplace=True),
        nn.Conv2d(4, 8, 3, 2, 1),
        nn.InstanceNorm2d(8, affine=True),
        Residual(8),
        nn.ConvTranspose2d(8, 4, 3, 2, 1, 1),
        nn.InstanceNorm2d(4),
        nn.Conv2d(4, 3, 1),
        nn.Tanh(),
    )


def pixel_shuffle() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 12, 3, padding=1),
        nn.PixelShuffle(2),
        nn.PReLU(),
        nn.Upsample(scale_factor=2, mode="bilinear"),
    )


def vocoder() -> nn.Module:
    return nn.Sequential(
        nn.ReflectionPad1d(3), nn.Conv1d(2, 4, 7), nn.InstanceNorm1d(4), nn.ConvTranspose1d(4, 1, 4, 2, 1), nn.Tanh()
    )


def latent() -> nn.Module:
    return nn.Sequential(nn.Linear(8, 32), nn.Unflatten(1, (2, 4, 4)), nn.ConvTranspose2d(2, 3, 4, 2, 1))


# The network, the shape of the example, and one that neither the exporter nor the default cases have seen.
NETWORKS = {
    "resnet": (resnet, (1, 3, 16, 16), (3, 3, 21, 34)),
    "u-net": (UNet, (1, 3, 16, 16), (3, 3, 4, 28)),
    "pixel shuffle": (pixel_shuffle, (2, 3, 8, 8), (1, 3, 7, 5)),
    "1-D": (vocoder, (1, 2, 16), (2, 2, 53)),
    "latent": (latent, (1, 8), (5, 8)),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_the_file_agrees_with_eager_at_sizes_it_has_not_seen(name, tmp_path):
    make, example_shape, other_shape = NETWORKS[name]
    torch.manual_seed(0)
    net, example, other = make(), torch.randn(example_shape), torch.randn(other_shape)
    report = export_module(net, (example,), tmp_path / "net.onnx", options=FileOptions(output_names=["image"]))

    free = {2: 1, 3: 2, 4: 3}[example.dim()]
    assert len(report.cases) == 1 + free
    assert report.cases[0].input_shapes == (example_shape,)
    assert all(case.mean_abs <= case.max_abs <= report.max_difference < 1e-5 for case in report.cases)

    session = ort.InferenceSession(tmp_path / "net.onnx", providers=["CPUExecutionProvider"])
    [got] = session.run(["image"], {"input": other.numpy()})
    torch.testing.assert_close(torch.from_numpy(got), net.eval()(other).detach(), rtol=0, atol=1e-5)


def test_the_file_is_whole_and_describes_itself(tmp_path):
    net = resnet()
    report = export_module(
        net,
        (torch.rand(1, 3, 8, 8),),
        tmp_path / "new" / "net.onnx",
        options=FileOptions(
            input_names=["photo"], output_names=["painting"], metadata={"layout": "NCHW", "range": "[-1, 1]"}
        ),
    )
    assert [file.name for file in report.path.parent.iterdir()] == ["net.onnx"]
    data = report.path.read_bytes()
    assert len(data) == report.file_bytes
    assert __file__.encode() not in data
    model = onnx.load(report.path)
    assert report.note == f"opset {model.opset_import[0].version}"
    assert {entry.key: entry.value for entry in model.metadata_props} == {"layout": "NCHW", "range": "[-1, 1]"}
    shape = model.graph.input[0].type.tensor_type.shape
    assert [axis.dim_param or axis.dim_value for axis in shape.dim] == ["batch", 3, "height", "width"]
    assert (model.graph.input[0].name, model.graph.output[0].name) == ("photo", "painting")
    assert all(part.training for part in net.modules())


def test_weights_are_written_one_after_the_other(tmp_path, monkeypatch):
    net, inputs, path = nn.Conv2d(3, 64, 3), (torch.rand(1, 3, 8, 8),), tmp_path / "net.onnx"
    monkeypatch.setattr(onnx_runtime, "_LARGE_BYTES", 0)
    assert export_module(net, inputs, path).cases[0].max_abs < 1e-5
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    assert len(model.SerializeToString()) == path.stat().st_size
    weights = {each.name: onnx.numpy_helper.to_array(each) for each in model.graph.initializer}
    assert {name: value.tolist() for name, value in weights.items()} == {
        name: value.tolist() for name, value in net.state_dict().items()
    }
    monkeypatch.setattr(onnx_file, "MOST_BYTES", 4000)
    with pytest.raises(ExportError, match=r"^ONNX export: got 8,\d{3} bytes, expected at most 4,000 in one ONNX file"):
        export_module(net, inputs, path)


def test_several_inputs_share_names_unless_their_sizes_differ(tmp_path):
    inputs = (torch.rand(2, 3, 8, 8), torch.rand(2, 3, 4, 8))
    report = export_module(
        Stylise(), inputs, tmp_path / "net.onnx", options=FileOptions(input_names=["image", "style"])
    )
    assert [case.input_shapes for case in report.cases] == [
        ((2, 3, 8, 8), (2, 3, 4, 8)),
        ((3, 3, 8, 8), (3, 3, 4, 8)),
        ((2, 3, 16, 8), (2, 3, 4, 8)),
        ((2, 3, 8, 16), (2, 3, 4, 16)),
        ((2, 3, 8, 8), (2, 3, 8, 8)),
    ]


def test_fixed_axes_and_cases_of_the_caller(tmp_path):
    example = torch.rand(1, 3, 16, 16)
    fixed = export_module(UNet(), (example,), tmp_path / "fixed.onnx", options=FileOptions(dynamic=[{}]))
    assert [case.input_shapes for case in fixed.cases] == [((1, 3, 16, 16),)]
    wide = (torch.rand(1, 3, 16, 20),)
    chosen = export_module(
        UNet(), (example,), tmp_path / "net.onnx", options=FileOptions(dynamic=[{3: "width"}], other_inputs=[wide])
    )
    assert [case.input_shapes for case in chosen.cases] == [((1, 3, 16, 16),), ((1, 3, 16, 20),)]


@pytest.mark.parametrize("package", ["onnx", "onnxscript", "onnxruntime"])
def test_a_missing_package_is_named_with_the_command_that_installs_it(package, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ExportError, match=rf"needs the package {package}, .*: pip install 'gancompress\[onnx\]'$"):
        export_module(nn.Tanh(), (torch.rand(2, 3),), tmp_path / "net.onnx")


def test_a_difference_is_located_and_leaves_the_old_file(tmp_path, monkeypatch):
    def bent(self, path, precision):
        run = genuine(self, path).run

        def bend(inputs):
            outputs = run(inputs)
            if inputs[0].shape[0] == 3:
                outputs[0][2, 1, 4, 5] += 0.5
            return outputs

        return Runner(bend)

    genuine = OnnxRuntime.open
    monkeypatch.setattr(OnnxRuntime, "open", bent)
    path = tmp_path / "net.onnx"
    path.write_bytes(b"old")
    with pytest.raises(ExportError) as caught:
        export_module(nn.Tanh(), (torch.zeros(2, 3, 8, 8),), path)
    assert str(caught.value) == (
        "ONNX export of Tanh: output is 0.5 from eager at [2, 1, 4, 5] with inputs (3, 3, 8, 8) "
        "(eager 0, file 0.5); the tolerance is 0.001; one size works: take the format 'onnx_fixed'"
    )
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("net.onnx", b"old")]


REFUSED = {
    "not a number": (
        nn.Tanh(),
        (torch.full((2, 3), torch.nan),),
        {},
        r"output is nan from eager at \[0, 0\] .* is 0\.001$",
    ),
    "no operator": (Spectrum(), (torch.rand(2, 3, 8, 8),), {}, r"export of Spectrum failed: No ONNX .*_linalg_svd"),
    "a size baked in": (
        Frozen(),
        (torch.rand(2, 3),),
        {},
        r"Frozen: got a network of the batch or size of its inputs alone, expected free ones; one size works: take",
    ),
    "an impossible case": (
        UNet(),
        (torch.rand(1, 3, 16, 16),),
        {"other_inputs": [(torch.rand(1, 3, 18, 16),)]},
        r"module itself does not run with inputs \(1, 3, 18, 16\): Sizes of tensors must match .*; pass other_inputs",
    ),
    "a case of another rank": (
        nn.Tanh(),
        (torch.rand(2, 3),),
        {"other_inputs": [(torch.rand(3),)]},
        r"the file does not run with inputs \(3,\): .*rank.*; the code fixes a size there",
    ),
    "too few axes": (
        Stylise(),
        (torch.rand(1, 3, 8, 8), torch.rand(1, 3, 8, 8)),
        {"dynamic": [{0: "batch"}]},
        r"got 2 inputs, 2 input_names and 1 entries of dynamic; expected one name and one mapping",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_and_why(name, tmp_path, capfd):
    module, inputs, options, message = REFUSED[name]
    with pytest.raises(ExportError, match=message) as caught:
        export_module(module, inputs, tmp_path / "net.onnx", options=FileOptions(**options))
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")


def test_a_path_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ExportError, match=r"cannot write .*file/net.onnx: (File exists|Not a directory)"):
        export_module(nn.Tanh(), (torch.rand(2, 3),), tmp_path / "file" / "net.onnx")


def test_a_name_without_a_suffix(tmp_path):
    export_module(nn.Tanh(), (torch.rand(2, 3),), tmp_path / "net", "onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["net"]
