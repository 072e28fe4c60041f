"""Every command of the tutorials runs in its order, on small networks and with short trainings.

``test_readme`` runs those of the README, of the first compression and of a how-to, ``methods/test_docs`` the page about
Python. Nothing is timed, because that takes a process for each file.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from gancompress.cli import app
from gancompress.deploy.web import is_page
from gancompress.deploy.web.manifest import FORMAT
from gancompress.deploy.web.page import MANIFEST_FILE
from gancompress.jobs.drafting.method import Pace
from gancompress.networks.registry import build
from tests.jobs.drafting.folders import pictures
from tests.test_pages import DOCS, ROOT, commands, commands_in_prose

TUTORIALS = DOCS / "tutorials"
README = commands(ROOT / "README.md")
SMALL = {
    "--minutes 60": "--minutes 0.03",
    "--smaller 10": "--smaller 3",
    "-10x": "-3x",
    "--size 64x64": "--size 16x16",
    "--precision int8": "--precision int8 --min-psnr 0",
}


class Server:
    """Server of a page that ends at once."""

    address = "http://127.0.0.1:8000/"

    def __init__(self, folder: Path, port: int) -> None:
        assert is_page(folder)

    def serve(self) -> None:
        return


@pytest.fixture(scope="module")
def user(tmp_path_factory) -> Path:
    """A folder with what the tutorials ask for: two checkpoints and photographs."""
    folder = tmp_path_factory.mktemp("user")
    pictures(folder / "photos", 44, size=(32, 32))
    shutil.copy(folder / "photos" / "000.png", folder / "photo.jpg")  # without losses, so that both give one image
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
    monkeypatch.chdir(user)
    monkeypatch.setattr("gancompress.jobs.drafting.draft.fastest_formats", lambda runtime: [])
    monkeypatch.setattr("gancompress.jobs.drafting.draft.seconds_of_pass", lambda network, images: 1e-3)
    monkeypatch.setattr("gancompress.jobs.drafting.draft.training_pace", lambda *_, **__: Pace(1e-3, 0.05, 0.05))
    monkeypatch.setattr("gancompress.jobs.summary.time_files", lambda *_, **__: {})
    return user


def small(command: str) -> str:
    for shown, instead in SMALL.items():
        command = command.replace(shown, instead)
    return command


def check(command: str) -> None:
    result = CliRunner().invoke(app, shlex.split(small(command))[1:])
    assert result.exit_code == 0, f"{command}: {result.output}{result.exception!r}"


@pytest.mark.slow
def test_a_checkpoint_of_cyclegan_becomes_a_file_of_integers(here):
    page = TUTORIALS / "translator.md"
    listed = commands(page)
    assert [command.split()[1] for command in listed] == ["inspect", "compress", "compress", "export", "run"]
    shorter = [re.sub(" --minutes.*", "", command.replace("latest_net_G_A.pth", "CHECKPOINT")) for command in listed]
    assert README[1].replace("FOLDER", "photos") in shorter
    for command in listed[1:]:  # the first one is also in a how-to whose commands test_readme runs
        check(command)
    (snippet,) = re.findall(r"```python\n(.*?)```", page.read_text(), flags=re.DOTALL)
    exec(compile(small(snippet), page.name, "exec"), {})
    with Image.open("zebra.png") as image, Image.open("painted/000.png") as same:
        assert image.tobytes() == same.tobytes()


def test_an_upscaler_becomes_a_file_for_ncnn(here):
    """The network of step 2 is cut and not trained, because the test above trains one."""
    pytest.importorskip("pnnx")
    pytest.importorskip("ncnn")
    listed = commands(TUTORIALS / "upscaler.md")
    assert [command.split()[1] for command in listed] == ["inspect", "compress", "export", "run", "prune"]
    for command in listed:
        if command.split()[1] == "compress":
            command = "gancompress prune realesr-animevideov3.pth --keep 0.5 --out runs/realesr-animevideov3-4x"
        check(command)
    with Image.open("large/000.png") as image:
        assert image.size == (128, 128)
    assert Path("half/loadable.pth").is_file()


def test_a_run_becomes_a_web_page(here, monkeypatch):
    """Pages are written in ``deploy/web``: here an empty one takes its place."""
    written = []

    def write(original, compressed, folder, choices):
        written.append((original, compressed, str(folder)))
        folder.mkdir(parents=True, exist_ok=True)
        (folder / MANIFEST_FILE).write_text(json.dumps({"format": FORMAT}))
        return []

    monkeypatch.setattr("gancompress.cli.pages.write_page_of", write)
    monkeypatch.setattr("gancompress.deploy.web.PageServer", Server)
    Path("runs/quickstart").mkdir(parents=True)
    page = TUTORIALS / "web_page.md"
    for command in [*commands(page), *commands_in_prose(page)]:
        check(command)
    run = "runs/quickstart"
    assert written == [(run, None, f"{run}/web"), (run, None, "site"), ("original.pth", "small", "site")]


def test_the_first_command_of_the_readme_is_the_quickstart(here, monkeypatch):
    """``scripts/check_wheel.py`` runs it from an empty folder."""
    started = []
    monkeypatch.setattr("gancompress.cli.jobs.run_job", lambda job, directory: started.append((job.name, directory)))
    check(README[0])
    assert started == [("quickstart", Path("runs/quickstart"))]
