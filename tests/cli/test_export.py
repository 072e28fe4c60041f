"""The verb that writes files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from typer.testing import CliRunner

from gancompress.cli import app
from gancompress.cli.calibration import calibration_inputs
from gancompress.cli.sources import InputChoices, export_path, open_network
from gancompress.errors import ConfigError, ExportError
from gancompress.io.pictures import to_channels, to_standard
from gancompress.networks.generator import Generator
from gancompress.networks.registry import build
from gancompress.report import FileSpeed, Latency
from tests.cli.verbs import run
from tests.data.pictures import pixels, save_many
from tests.deploy.benchmark.in_process import workers_as_threads
from tests.networks.strangers import Stranger

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of TorchScript


EXPORT = "gancompress.deploy.benchmark.writing.export_generator"
CONVERT = "gancompress.deploy.runtimes.onnx_runtime.OnnxRuntime.convert"


class Edges(nn.Module):
    def forward(self, images: Tensor) -> list[Tensor]:
        return [images, images.diff(dim=2)]


def test_a_file_is_compared_on_images_where_there_are_any(tmp_path):
    pytest.importorskip("onnxruntime", reason="exports to ONNX, which is not installed")
    small, size, fixed = tmp_path / "small", ("--size", "32x32"), ("--format", "onnx_fixed")
    net = ("resnet", "--set", "ngf=8", "--set", "num_blocks=1")
    run("prune", *net, "--keep", "0.5", "--out", small, *size)
    photos = save_many(tmp_path / "photos", 8, height=32, width=32)
    torch.jit.script(Edges()).save(tmp_path / "edges.pt")
    seen = ("--calibration", photos, "--perceptual", tmp_path / "edges.pt")
    facts = json.loads(run("export", small, *size, *seen, *fixed, "--json"))
    assert facts["quality"]["num_images"] == 8
    assert facts["quality"]["psnr_db"] > 90
    assert 0 <= facts["quality"]["perceptual"] < 1e-6
    text = run("export", small, *size, *seen, "--format", "torch")  # which is written faster
    assert "fp32 against PyTorch in float32, 8 images that nothing was chosen by: PSNR" in text
    assert "perceptual distance" in text
    with pytest.raises(ConfigError, match=r"--perceptual: got no --calibration, expected a folder of images"):
        run("export", small, *size, "--perceptual", tmp_path / "edges.pt")


@pytest.fixture(scope="module")
def given(tmp_path_factory) -> Path:
    """A small network."""
    folder = tmp_path_factory.mktemp("given")
    config = {"ngf": 8, "num_blocks": 1}
    torch.manual_seed(0)
    Generator.from_module(build("resnet", config), "resnet", config).save(folder)
    return folder


def job_of(given: Path, exports: list[object]) -> str:
    """A recipe that narrows the network and writes files."""
    recipe = {
        "name": "small",
        "task": "paired",
        "data": {"kind": "procedural", "image_size": 32, "num_images": {"train": 32, "search": 4, "test": 8}},
        "teacher": {"checkpoint": str(given)},
        "steps": [{"kind": "prune", "keep": 0.5}],
        "metrics": {"against_real": [], "against_teacher": []},
        "exports": exports,
    }
    return json.dumps(recipe)


@pytest.fixture(scope="module")
def finished(given, tmp_path_factory) -> Path:
    """A run that narrowed a network and wrote the fastest file."""
    pytest.importorskip("openvino", reason="exports to OpenVINO, which is not installed")
    folder = tmp_path_factory.mktemp("fastest")
    exports = [{"format": "openvino", "precision": "fastest", "min_psnr_db": 0, "num_images": 32, "threads": 1}]
    (folder / "small.yaml").write_text(job_of(given, exports))
    with workers_as_threads():
        run("compress", folder / "small.yaml", "--out", folder / "run")
    return folder / "run"


@pytest.mark.slow
def test_a_job_writes_the_fastest_file_and_reports_what_was_tried(finished):
    (facts,) = json.loads((finished / "report.json").read_text())["exports"]
    assert facts["path"] == "exports/model.fastest.xml"
    assert sum(each.stat().st_size for each in (finished / "exports").iterdir()) == facts["file_bytes"]
    assert [each["name"] for each in facts["tried"]] == ["fp32", "bf16", "int8, all layers"]
    (written,) = [each for each in facts["tried"] if each["best"]]
    fastest = max(facts["tried"], key=lambda each: each["faster"])
    assert fastest["faster_low"] <= written["faster"] <= fastest["faster"]  # as fast by measurement
    assert written["psnr_db"] >= fastest["psnr_db"]
    assert all(each["time_ms"]["median"] > 0 for each in facts["tried"])
    assert facts["psnr_db"] == written["psnr_db"]
    page, text = (finished / "report.html").read_text(), (finished / "report.md").read_text()
    assert "Times faster than the float32 file" in page
    (row,) = [line for line in text.splitlines() if line.startswith(f"| {written['name']} |")]
    assert f"| {written['faster']:.2f} (" in row
    assert row.endswith("| best |")


@pytest.mark.parametrize("kind", [ExportError, RuntimeError])
def test_a_file_that_fails_costs_neither_the_report_nor_the_others(given, tmp_path, kind, monkeypatch):
    def refuse(*_, **__):
        raise kind("one-sided padding")

    monkeypatch.setattr("gancompress.jobs.summary.time_files", lambda *_, **__: {})
    monkeypatch.setattr(EXPORT if kind is RuntimeError else CONVERT, refuse)
    (tmp_path / "small.yaml").write_text(job_of(given, ["onnx", "torch"] if kind is ExportError else ["onnx"]))
    result = CliRunner().invoke(app, ["compress", str(tmp_path / "small.yaml"), "--out", str(tmp_path / "run")])
    assert result.exit_code == 1
    (line,) = [line for line in result.output.splitlines() if "was not written" in line]
    assert line == f"{tmp_path / 'run/exports/model.onnx'} was not written: one-sided padding"
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    assert [each["path"] for each in report["exports"]] == (["exports/model.pt2"] if kind is ExportError else [])
    assert report["not_exported"] == {"model.onnx": "one-sided padding"}
    assert "one-sided padding" in (tmp_path / "run" / "report.html").read_text()


@pytest.mark.slow
def test_a_run_is_calibrated_on_its_own_images(finished, tmp_path):
    how = ("--format", "onnx_fixed", "--precision", "int8", "--min-psnr", "0")
    facts = json.loads(run("export", finished, *how, "--out", tmp_path / "model.onnx", "--json"))
    assert facts["cases"][0]["input_shapes"] == [[1, 3, 32, 32]]
    assert facts["quality"]["num_images"] == 8  # a quarter of the 32 in its training split
    with pytest.raises(ConfigError, match="--size: got 64x64 with the run's own images, expected their size"):
        run("export", finished, "--precision", "int8", "--size", "64x64")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--precision", "fastest", "--rewrite", "none"), "--rewrite: got rewrites with --precision fastest"),
        (("--min-psnr", "20"), "--min-psnr: got it without --precision int8 or fastest"),
        (("--precision", "int8", "--threads", "1"), "--threads: got it without --precision fastest"),
        (("--precision", "fastest", "--format", "torch"), "fastest: got the format 'torch', expected onnx or"),
    ],
)
def test_options_that_do_not_go_together(finished, arguments, message):
    with pytest.raises(ConfigError, match=message):
        run("export", finished, *arguments)


@pytest.mark.slow
def test_images_of_a_network_without_a_run_want_a_folder(finished):
    with pytest.raises(
        ConfigError, match=r"--calibration: expected a folder of images .*, or a run directory, whose own"
    ):
        run("export", finished / "teacher", "--precision", "int8", "--size", "32x32")


@pytest.mark.parametrize("channels", [1, 4, 5])
def test_images_of_a_folder_get_the_channels_of_the_network(tmp_path, channels):
    config = {"ngf": 2, "num_blocks": 1, "in_channels": channels}
    Generator.from_module(build("resnet", config), "resnet", config).save(tmp_path / "net")
    photos = save_many(tmp_path / "photos", 5, height=32, width=32)
    network = open_network("net", str(tmp_path / "net"), None, InputChoices("32x32"))
    if channels == 5:
        with pytest.raises(ConfigError, match=r"photos: got a picture for 5 channels, expected 1 \(grey\), 2 "):
            calibration_inputs(network, photos, tmp_path / "net", None)
        return
    batches = [images for (images,) in calibration_inputs(network, photos, tmp_path / "net", None)]
    expected = to_standard(to_channels(Image.fromarray(pixels(4, 32, 32)), channels, "photo"))
    assert [tuple(each.shape) for each in batches] == [(4, channels, 32, 32), (1, channels, 32, 32)]
    assert batches[1][0].equal(expected)


def test_label_maps_of_a_folder_calibrate(tmp_path):
    config = {"ngf": 2, "in_channels": 3, "upsampling": "normal"}
    Generator.from_module(build("mobile_spade", config), "mobile_spade", config).save(tmp_path / "net")
    maps = torch.randint(3, (6, 64, 64), generator=torch.Generator().manual_seed(0), dtype=torch.int32)
    (tmp_path / "maps").mkdir()
    for number, labels in enumerate(maps):
        Image.fromarray(labels.numpy().astype(np.uint8)).save(tmp_path / "maps" / f"{number}.png")

    def inputs(labels, folder=tmp_path / "maps"):
        network = open_network("net", str(tmp_path / "net"), None, InputChoices("64x64", labels=labels))
        return calibration_inputs(network, folder, tmp_path / "net", None)

    assert [len(labels) for (labels,) in inputs(3)] == [4, 2]
    assert torch.cat([labels for (labels,) in inputs(3)]).equal(maps)
    with pytest.raises(ConfigError, match=r"network of label maps without --labels; say how many"):
        inputs(None)
    with pytest.raises(ConfigError, match=r"expected a folder of label maps like those that the network will see"):
        inputs(3, None)
    with pytest.raises(ConfigError, match=r"got a network of 2 inputs, expected one of images, label maps or noise"):
        inputs(2)


def test_noise_and_classes_are_drawn_for_generators_from_noise(tmp_path):
    config = {"ngf": 4, "latent_size": 6, "num_classes": 3}
    Generator.from_module(build("sngan_32", config), "sngan_32", config).save(tmp_path / "net")
    network = open_network("net", str(tmp_path / "net"), None, InputChoices())
    latents = torch.cat([latents for (latents,) in calibration_inputs(network, None, tmp_path / "net", None)])
    assert latents.shape == (64, 9)
    assert 0.8 < latents[:, :6].std() < 1.2
    assert set(latents[:, 6:].flatten().tolist()) == {0, 1}
    assert latents[:, 6:].sum(1).eq(1).all()
    assert (latents[:, 6:].sum(0) > 0).all()


@pytest.mark.parametrize(
    ("source", "file", "expected"),
    [
        ("small", "model.onnx", "small/model.onnx"),
        ("small", "web", "small/web"),
        ("latest_net_G_A.pth", "model.onnx", "latest_net_G_A.onnx"),
        ("latest_net_G_A.pth", "model.fixed.onnx", "latest_net_G_A.fixed.onnx"),
        ("last.ckpt#netG_B", "model.int8.onnx", "last.netG_B.int8.onnx"),
        ("g_02500000", "web", "g_02500000.web"),
        ("small#decoder", "model.int8.onnx", "small/decoder.int8.onnx"),
    ],
)
def test_files_beside_checkpoints_are_named_after_them(source, file, expected, tmp_path):
    (tmp_path / "small").mkdir()
    assert export_path(tmp_path / source, file) == tmp_path / expected


def speed_of(faster: float) -> FileSpeed:
    return FileSpeed("a runtime", 1, Latency(2.0, 2.0, 2.0), Latency(2.0 * faster, 2.0, 2.0), faster, faster, faster)


def test_every_file_is_in_one_table_and_a_failing_one_costs_no_other(given, tmp_path, monkeypatch):
    pytest.importorskip("onnxruntime", reason="exports to ONNX, which is not installed")

    def timed(original, example, files, inputs, **_):
        assert original.is_dir()
        return {each.path: speed_of(2.0) for each in files}

    def refuse(*_):
        raise RuntimeError("one-sided padding")

    monkeypatch.setattr("gancompress.deploy.benchmark.time_files", timed)
    monkeypatch.setattr(CONVERT, refuse)
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "model.pt2").write_bytes(b"of another network")
    how = ("--format", "onnx", "--format", "torch", "--size", "32x32", "--out", str(tmp_path / "files"))
    result = CliRunner().invoke(app, ["export", str(given), *how])
    assert result.exit_code == 1
    lines = [" ".join(line.split()) for line in result.output.splitlines()]
    for name in ("model.onnx", "model.fp16.onnx"):
        assert f"{name}: ONNX export of ResnetGenerator failed: one-sided padding" in lines
    assert lines[-1] == f"written to {tmp_path}/files, in place of what was there: model.pt2"
    (best,) = [line for line in lines if line.startswith("model.pt2 ")]
    assert best.endswith(" 2.00 1 2.00 (2.00 to 2.00) best")
    (missing,) = [line for line in lines if line.startswith("onnx, int8: ")]
    assert missing.startswith("onnx, int8: needs")
    assert [each.name for each in (tmp_path / "files").iterdir()] == ["model.pt2"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("--format", "onnx", "--format", "web"),
            "--format: got 'web' among several, which is a page; export it alone",
        ),
        (
            ("--format", "all", "--rewrite", "float32_norms"),
            "--rewrite: got rewrites with several files, which chooses",
        ),
        (("--format", "all", "--opset", "10"), r"^opset: got 10, expected 11 to \d+$"),
        (("--opset", "99"), r"^opset: got 99, expected 11 to \d+$"),
        (("--format", "torch", "--opset", "13"), "--opset: got 13 for torch, expected none: only ONNX has opsets"),
        (
            ("--format", "torch", "--format", "openvino", "--opset", "13"),
            "--opset: got 13 for torch, openvino, expected none: only ONNX has opsets",
        ),
        (("--format", "all", "--out", __file__), "--out: got the file .* for several files, expected a folder"),
    ],
)
def test_options_that_do_not_fit_the_formats(given, arguments, message):
    with pytest.raises((ConfigError, ExportError), match=message):
        run("export", given, *arguments)


def test_formats_none_of_which_can_be_written_are_one_error(given, monkeypatch):
    monkeypatch.setattr("gancompress.deploy.benchmark.writing.missing_package", lambda name: f"needs {name}_writer")
    with pytest.raises(
        ExportError, match=r"no format and precision .*: onnx needs onnx_writer; ncnn needs ncnn_writer"
    ):
        run("export", given, "--format", "onnx", "--format", "ncnn")


def test_a_file_that_is_replaced_is_named(tmp_path):
    both = {"netG_A": Stranger().state_dict(), "netG_B": Stranger().state_dict()}
    torch.save(both, tmp_path / "last.ckpt")
    options = ("--family", f"{Stranger.__module__}:Stranger", "--size", "8x8", "--format", "torch", "--rewrite", "none")
    (tmp_path / "last.netG_B.pt2").write_bytes(b"of another network")
    assert json.loads(run("export", tmp_path / "last.ckpt", *options, "--json"))["replaced"] is False
    text = run("export", tmp_path / "last.ckpt#netG_B", *options)
    assert f"written to {tmp_path}/last.netG_B.pt2, in place of the file that was there: " in text


def test_a_loadable_job_writes_a_file_like_its_teachers(tmp_path):
    wide = Generator.from_module(build("unet", {"ngf": 8, "num_downs": 5}), "unet", {"ngf": 8, "num_downs": 5})
    torch.save(dict(wide.state), tmp_path / "net.pth")
    recipe = {**json.loads(job_of(tmp_path / "net.pth", [])), "loadable": True}
    recipe["steps"][0]["multiple"] = 2
    (tmp_path / "small.yaml").write_text(json.dumps(recipe))
    result = CliRunner().invoke(app, ["compress", str(tmp_path / "small.yaml"), "--out", str(tmp_path / "run")])
    assert result.exit_code == 0, result.output
    assert "loadable.pth: opens as unet with ngf 4" in " ".join(result.output.split())
    assert torch.load(tmp_path / "run" / "loadable.pth").keys() == wide.state.keys()
    assert Generator.load(tmp_path / "run").config["ngf"] == 4


def test_a_page_that_is_replaced_is_named(given, tmp_path, monkeypatch):
    monkeypatch.setattr("gancompress.cli.pages.write_page_of", lambda *_: [])
    arguments = ("export", given, "--format", "web", "--out", tmp_path)
    assert "in place of" not in run(*arguments)
    (tmp_path / "manifest.json").write_text(json.dumps({"format": "gancompress-page"}))
    assert f"written to {tmp_path}, in place of the page that was there: " in run(*arguments)
    assert json.loads(run(*arguments, "--json")) == {"page": str(tmp_path), "replaced": True, "networks": []}
    with pytest.raises(ExportError, match="export: got --rewrite for the format 'web', expected neither --rewrite nor"):
        run(*arguments, "--rewrite", "float32_norms")
