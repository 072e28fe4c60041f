"""Commands and code of the README and of the first pages do what they say."""

from __future__ import annotations

import re
import runpy
import shlex
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from gancompress.cli import app
from gancompress.networks.registry import build
from tests.methods.networks import image_network, images

ROOT = Path(__file__).parents[1]
README, QUICKSTART, PRUNE = (
    (ROOT / name).read_text(encoding="utf-8")
    for name in ("README.md", "docs/tutorials/first_compression.md", "docs/how-to/prune.md")
)
COMMANDS = re.findall(r"^\$ gancompress (.*)$", README + QUICKSTART + PRUNE, flags=re.MULTILINE)

VOCODER = """
from torch import nn
class Vocoder(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Conv1d(80, 32, 7, padding=3), nn.LeakyReLU(), nn.ConvTranspose1d(32, 1, 4, 2, 1))
"""


@pytest.fixture
def as_a_user(tmp_path, monkeypatch):
    """A folder with the files that the pages speak of."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "my_package").mkdir()
    (tmp_path / "my_package" / "nets.py").write_text(VOCODER)
    layers = {"stem": "1", "down.0": "4", "down.1": "7", "up.0": "19", "up.1": "22", "head": "26"}
    renames = {f"{ours}.conv": f"model.{theirs}" for ours, theirs in layers.items()}
    for block in range(9):
        for ours, theirs in (("conv1", "1"), ("conv2", "5")):
            renames[f"blocks.{block}.{ours}"] = f"model.{10 + block}.conv_block.{theirs}"
    state = build("resnet_9blocks", {"ngf": 32}).state_dict()
    foreign = {}
    for name, tensor in state.items():
        layer, _, leaf = name.rpartition(".")
        foreign[f"{renames[layer]}.{leaf}"] = tensor
    torch.save(foreign, tmp_path / "latest_net_G_A.pth")


@pytest.mark.slow
def test_commands_run_in_their_order_and_print_what_the_page_shows(as_a_user):
    assert len(COMMANDS) >= 7
    printed = {}
    for command in COMMANDS:
        result = CliRunner().invoke(app, shlex.split(command))
        assert result.exit_code == 0, f"{command}: {result.output}{result.exception}"
        printed[command] = {" ".join(line.split()) for line in result.stdout.splitlines()}
    (command,) = [command for command in COMMANDS if "--set ngf=64" in command]
    shown = PRUNE.split(f"$ gancompress {command}\n")[1].split(" ...\n")[0]
    assert all(" ".join(line.split()) in printed[command] for line in shown.splitlines())


def test_code_runs(tmp_path, monkeypatch):
    """The code in its order, on a small network and briefly."""
    monkeypatch.chdir(tmp_path)
    batches = images(8)
    names = {"network": image_network(), "x": batches[0][:1], "batches": batches, "loader": batches}
    first, second = re.findall(r"```python\n(.*?)```", README + PRUNE, flags=re.DOTALL)
    short = first.replace("images=200_000", "images=8").replace("minutes=10", "minutes=0.01")
    exec(
        compile(short.replace("calibration=batches", "calibration=batches, min_psnr_db=0"), "README.md", "exec"), names
    )
    exec(compile(second, "prune.md", "exec"), {})


def test_the_readme_is_short():
    assert len(README.splitlines()) <= 120


def test_the_description_of_the_package_has_no_link_into_the_repository():
    description = runpy.run_path(str(ROOT / "setup.py"))["description"]
    assert description("![a](b.png)\n[c](docs/d.md) [e](https://f)\n<!-- g -->\n") == "\nc [e](https://f)\n"
    targets = re.findall(r"\]\(([^)]*)\)", description(README))
    assert len(targets) >= 3
    assert all(target.startswith("https://") for target in targets)
