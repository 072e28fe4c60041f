"""The command line as a user types it, in a process of its own where the exit status matters."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import gancompress
from gancompress.cli import main
from gancompress.errors import GanCompressError
from gancompress.networks.generator import Generator
from tests.cli.verbs import run


def test_versions_without_a_verb():
    assert run("--version") == f"gancompress {gancompress.__version__}, torch {torch.__version__}\n"


def test_inspect_json_of_the_published_generator():
    report = json.loads(run("inspect", "resnet_9blocks", "--json"))
    assert report["family"] == "resnet_9blocks"
    assert report["parameters"] == 11_378_179
    assert report["macs"]["true"] == 49_551_507_456
    assert report["macs"]["outsize"] == 56_799_264_768
    assert report["macs"]["gc"] == 56_831_770_624
    assert report["groups"]["down.1.conv"] == 256
    assert len(report["groups"]) == 14
    assert report["not_followed"] == []


def test_inspect_takes_options_and_size():
    report = json.loads(run("inspect", "mobile_resnet_9blocks", "--set", "ngf=32", "--size", "64x128", "--json"))
    assert report["parameters"] == 514_307
    assert report["inputs"] == [[1, 3, 64, 128]]
    assert report["macs"]["true"] == 3_117_416_448 // 8


def test_inspect_shows_groups_and_what_stays():
    text = run("inspect", "resnet_6blocks", "--set", "ngf=8", "--size", "64x64")
    assert "down.1.conv" in text
    assert "'head.conv' keeps its 3 channels: reaches the output" in text


def test_inspect_a_users_own_generator():
    source = "tests.channels.strangers:Vocoder"
    report = json.loads(run("inspect", source, "--input", "1x20x16", "--json"))
    assert report["groups"] == {"pre": 32, "ups.0": 16, "ups.1": 8}


def test_prune_inspect_export_round_trip(tmp_path):
    small, file = tmp_path / "small", tmp_path / "small.onnx"
    size = ("--size", "64x64")
    report = json.loads(
        run("prune", "resnet_6blocks", "--set", "ngf=16", "--keep", "0.5", "--out", small, "--json", *size)
    )
    again = json.loads(run("inspect", small, "--json", *size))
    assert again["groups"] == report["widths"]
    assert again["parameters"] == report["parameters"]
    assert again["macs"] == report["macs"]
    exported = json.loads(run("export", small, "--format", "onnx", "--out", file, "--json", *size))
    assert exported["max_difference"] < 1e-4
    assert {tuple(case["input_shapes"][0]) for case in exported["cases"]} >= {(1, 3, 64, 64), (2, 3, 64, 64)}

    import onnx

    metadata = {entry.key: entry.value for entry in onnx.load(file).metadata_props}
    assert metadata["plan"] == "8_8_8_8_8_8_8_8"
    assert metadata["color_order"] == '"RGB"'


def test_prune_to_a_budget(tmp_path):
    base = ("prune", "resnet_6blocks", "--set", "ngf=32", "--size", "64x64", "--out", tmp_path, "--json")
    full = json.loads(run("inspect", "resnet_6blocks", "--set", "ngf=32", "--size", "64x64", "--json"))["macs"]
    for convention in ("true", "gc"):
        budget = full[convention] / 4
        report = json.loads(run(*base, "--macs", f"{budget / 1e6}M", "--convention", convention))
        assert 0.8 * budget < report["macs"][convention] <= budget


def test_prune_to_the_papers_plan(tmp_path):
    plan = "16_16_32_16_32_32_16_16"
    run("prune", "mobile_resnet_9blocks", "--plan", plan, "--size", "64x64", "--out", tmp_path)
    report = json.loads(run("inspect", tmp_path, "--json"))
    assert report["plan"] == plan
    assert (report["parameters"], report["macs"]["gc"]) == (356_867, 2_546_204_672)


def test_the_released_generator_comes_back_the_same_through_our_format(shared_data, tmp_path):
    source = shared_data / "teachers" / "cyclegan_horse2zebra_gancompression.pt"
    report = json.loads(run("inspect", source, "--json"))
    assert report["plan"] == "16_16_32_16_32_32_16_16"
    run("prune", source, "--keep", "1.0", "--out", tmp_path, "--size", "64x64")
    exported = json.loads(run("export", tmp_path, "--size", "64x64", "--json"))
    assert exported["max_difference"] < 1e-4
    again = Generator.load(tmp_path)
    assert again.num_parameters == 356_867
    assert json.loads(run("inspect", tmp_path, "--json"))["macs"] == report["macs"]


class Payload:
    """A pickle that would write a file when it is loaded."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self):
        return (Path.touch, (self.target,))


MISTAKES = {
    "unknown family": (["inspect", "resnet_9block"], r"'resnet_9block': no such file, and no family of this name"),
    "unknown option": (["inspect", "resnet_9blocks", "--set", "nfg=3"], r"nfg: unknown option, did you mean 'ngf'\?"),
    "no value": (["inspect", "resnet_9blocks", "--set", "ngf"], r"--set: got 'ngf', expected OPTION=VALUE"),
    "size": (["inspect", "resnet_9blocks", "--size", "255x256"], r"got an image of 255x256 .* divisible by 4"),
    "size text": (["inspect", "resnet_9blocks", "--size", "256"], r"--size: got '256', expected whole numbers"),
    "unet size": (["inspect", "unet_256", "--size", "128x128"], r"unet_256: got an image of 128x128"),
    "input": (["inspect", "resnet_9blocks", "--input", "1x3x8x8"], r"--input: resnet_9blocks takes an image"),
    "import path": (["inspect", "tests.nowhere:Net"], r"tests.nowhere:Net: found no module 'tests.nowhere'"),
    "nothing to do": (["prune", "resnet_6blocks", "--out", "x"], r"expected one of --keep, --macs and --plan"),
    "two things": (["prune", "resnet_6blocks", "--out", "x", "--keep", "1", "--macs", "3"], r"expected one of --keep"),
    "keep": (["prune", "resnet_6blocks", "--out", "x", "--keep", "1.5"], r"keep: got 1.5, expected a fraction"),
    "yaml": (["inspect", "resnet_9blocks", "--set", "widths=["], r"--set: got 'widths=\[', expected a YAML value"),
    "no budget": (["prune", "resnet_6blocks", "--out", "x", "--macs", "nan"], r"--macs: got 'nan', expected a number"),
    "macs": (["prune", "resnet_6blocks", "--out", "x", "--macs", "many"], r"--macs: got 'many', expected a number"),
    "budget": (
        ["prune", "resnet_6blocks", "--out", "x", "--macs", "1M"],
        r"the smallest reachable cost is [\d,]+ true MACs",
    ),
    "too wide": (
        ["prune", "resnet_6blocks", "--out", "x", "--plan", "72_64_64_64_64_64_64_64"],
        r"'stem.conv' got 72, but the network has only 64 channels there",
    ),
    "plan length": (["prune", "resnet_6blocks", "--out", "x", "--plan", "16_16"], r"plan: got 2 numbers in '16_16'"),
    "plan for a U-Net": (
        ["prune", "unet_128", "--out", "x", "--plan", "16_16"],
        r"whose widths have no such strings; give widths by group name",
    ),
    "group": (
        ["prune", "resnet_6blocks", "--out", "x", "--plan", '{"stem": 8}'],
        r"no channel group 'stem'; did you mean 'stem.conv'\?",
    ),
    "score": (["prune", "resnet_6blocks", "--out", "x", "--keep", "1", "--score", "l2"], r"score: got 'l2'"),
    "export nothing": (["export", "nowhere"], r"nowhere: no such file or directory"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_get_one_line_and_lose_nothing(name, tmp_path, monkeypatch):
    arguments, message = MISTAKES[name]
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(Path(__file__).parents[1])
    with pytest.raises(GanCompressError, match=message) as error:
        run(*arguments)
    assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_a_pickle_with_code_is_refused_unread_with_exit_status_2(tmp_path):
    target, file = tmp_path / "executed", tmp_path / "model.pth"
    file.write_bytes(pickle.dumps(Payload(target), protocol=2))
    result = subprocess.run(
        [sys.executable, "-m", "gancompress", "inspect", str(file)], capture_output=True, text=True, check=False
    )
    assert result.returncode == 2
    assert result.stdout == ""
    (line,) = result.stderr.strip().splitlines()
    assert line.startswith(f"gancompress: {file}: got something that is no file of torch.save")
    assert not target.exists()


def test_a_directory_that_cannot_be_written_is_one_line(tmp_path, monkeypatch, capsys):
    taken = tmp_path / "taken"
    taken.write_text("a file")
    command = ["prune", "resnet_6blocks", "--set", "ngf=8", "--size", "32x32", "--keep", "1", "--out", str(taken)]
    monkeypatch.setattr(sys, "argv", ["gancompress", *command])
    with pytest.raises(SystemExit) as exit:
        main()
    assert exit.value.code == 2
    assert capsys.readouterr().err.strip().splitlines()[-1] == f"gancompress: {taken}: File exists"


def test_a_truncated_checkpoint_is_refused(tmp_path):
    file = tmp_path / "model.pth"
    torch.save({"weight": torch.zeros(1000)}, file)
    file.write_bytes(file.read_bytes()[:1500])
    with pytest.raises(GanCompressError, match="it may be cut off or of another kind: copy it again"):
        run("inspect", file)


def test_a_file_that_fits_nothing_names_the_nearest_family(tmp_path):
    run("prune", "resnet_6blocks", "--set", "ngf=8", "--keep", "1", "--out", tmp_path / "net", "--size", "64x64")
    state = dict(Generator.load(tmp_path / "net").state)
    state["blocks.0.conv1.weight"] = state["blocks.0.conv1.weight"][..., :2, :2].clone()
    torch.save(state, tmp_path / "wrong.pth")
    with pytest.raises(GanCompressError, match=r"nearest is resnet_6blocks.*blocks\.0\.conv1\.weight"):
        run("inspect", tmp_path / "wrong.pth")
