"""Every command of the tutorials runs in its order, on small networks and with short trainings.

The commands of the README, the first compression and the first how-to are those of ``test_readme``, the Python page that
of ``methods/test_docs``. Nothing is timed, because that takes a process for each file.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from gancompress.cli import app
from gancompress.deploy.web.runtime import FILES, PACKAGE, VERSION
from gancompress.networks.registry import build
from tests.jobs.drafting.folders import pictures
from tests.test_pages import DOCS, ROOT, commands

TUTORIALS = DOCS / "tutorials"
README = commands(ROOT / "README.md")
SMALL = {"--minutes 60": "--minutes 0.03", "--smaller 10": "--smaller 3", "-10x": "-3x", "--size 64x64": "--size 16x16"}
TINY = (
    *("data.image_size=32", "data.num_images.train=8", "data.num_images.search=4", "data.num_images.test=4"),
    *("steps.0.training.num_images=8", "steps.0.training.num_decay_images=0", "exports=[onnx]"),
)


@pytest.fixture(scope="module")
def user(tmp_path_factory) -> Path:
    """A folder with what the tutorials ask for: two checkpoints and photographs."""
    folder = tmp_path_factory.mktemp("user")
    pictures(folder / "photos", 44, size=(32, 32))
    Image.open(folder / "photos" / "000.png").save(folder / "photo.jpg")
    runtime = folder / "cache" / f"{PACKAGE}-{VERSION}"
    runtime.mkdir(parents=True)
    for name in FILES:
        (runtime / name).write_bytes(b"")
    torch.manual_seed(0)
    torch.save(build("srvggnet_compact", {"nf": 8, "num_conv": 1}).state_dict(), folder / "realesr-animevideov3.pth")
    state = build("resnet", {"ngf": 8, "num_blocks": 1}).state_dict()
    layers = {"stem": "1", "down.0": "4", "down.1": "7", "up.0": "11", "up.1": "14", "head": "18"}
    renames = {f"{ours}.conv": f"model.{theirs}" for ours, theirs in layers.items()}
    renames |= {f"blocks.0.conv{n}": f"model.10.conv_block.{index}" for n, index in ((1, 1), (2, 5))}
    foreign = {f"{renames[name.rpartition('.')[0]]}.{name.rpartition('.')[2]}": value for name, value in state.items()}
    torch.save(foreign, folder / "latest_net_G_A.pth")
    return folder


@pytest.fixture
def here(user, monkeypatch) -> Path:
    """The same folder, as the current one; nothing is timed or downloaded, and servers end at once."""
    from gancompress.jobs.recipe import load_job

    monkeypatch.chdir(user)
    monkeypatch.setattr("gancompress.jobs.drafting.draft.fastest_formats", lambda runtime: [])
    monkeypatch.setattr("gancompress.jobs.drafting.draft.seconds_of_pass", lambda network, images: 1e-3)
    monkeypatch.setattr("gancompress.jobs.drafting.draft.training_pace", lambda *_: 0.05)
    monkeypatch.setattr("gancompress.jobs.summary.time_files", lambda *_, **__: {})
    monkeypatch.setattr(
        "gancompress.jobs.recipe.load_job",
        lambda name, options=(), **how: load_job(name, [*(TINY if name == "quickstart" else ()), *options], **how),
    )
    monkeypatch.setattr("gancompress.deploy.web.PageServer.serve", lambda server: None)
    monkeypatch.setenv("GANCOMPRESS_CACHE", str(user / "cache"))
    return user


def small(command: str) -> str:
    for shown, instead in SMALL.items():
        command = command.replace(shown, instead)
    return command


def check(command: str) -> None:
    result = CliRunner().invoke(app, shlex.split(small(command))[1:])
    assert result.exit_code == 0, f"{command}: {result.output}{result.exception!r}"


def test_a_checkpoint_of_cyclegan_becomes_a_file_of_integers(here):
    page = TUTORIALS / "translator.md"
    listed = commands(page)
    assert [command.split()[1] for command in listed] == ["inspect", "compress", "compress", "export", "run"]
    shorter = [re.sub(" --minutes.*", "", command.replace("latest_net_G_A.pth", "CHECKPOINT")) for command in listed]
    assert [command for command in README if "CHECKPOINT" in command][0].replace("FOLDER", "photos") in shorter
    for command in listed:
        check(command)
    (snippet,) = re.findall(r"```python\n(.*?)```", page.read_text(), flags=re.DOTALL)
    exec(compile(snippet, page.name, "exec"), {})
    with Image.open("zebra.png") as image, Image.open("painted/000.png") as same:
        assert np.array_equal(np.asarray(image), np.asarray(same)) or image.size == same.size


def test_an_upscaler_becomes_a_file_for_ncnn(here):
    pytest.importorskip("pnnx")
    pytest.importorskip("ncnn")
    listed = commands(TUTORIALS / "upscaler.md")
    assert [command.split()[1] for command in listed] == ["inspect", "compress", "export", "run", "prune"]
    for command in listed:
        check(command)
    with Image.open("large/000.png") as image:
        assert image.size == (128, 128)
    assert Path("half/loadable.pth").is_file()


def test_the_quickstart_becomes_a_web_page(here):
    assert README[0] == "gancompress quickstart"
    check(README[0])
    for command in commands(TUTORIALS / "web_page.md"):
        check(command)
    assert Path("site/index.html").is_file()
