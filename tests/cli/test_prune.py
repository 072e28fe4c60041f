"""Pruning by scores that run the network, from the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gancompress.cli import main
from gancompress.networks.generator import Generator
from gancompress.networks.registry import build
from tests.cli.verbs import run
from tests.data.pictures import save_many
from tests.networks.reparameterised import upscaler


def saved(folder: Path, family: str, **config: object) -> str:
    torch.manual_seed(0)
    Generator.from_module(build(family, config), family, config).save(folder / family)
    return str(folder / family)


@pytest.fixture
def prune(monkeypatch) -> Callable[..., int]:
    def run(*arguments: str) -> int:
        monkeypatch.setattr("sys.argv", ["gancompress", "prune", *arguments])
        with pytest.raises(SystemExit) as left:
            main()
        return int(left.value.code or 0)

    return run


def test_a_generator_from_noise(tmp_path, prune):
    source = saved(tmp_path, "stylegan2", resolution=8, channel_max=16, latent_size=5)
    score = "{kind: content_aware, num_images: 4, mask: ellipse}"
    assert prune(source, "--keep", "0.5", "--score", score, "--out", str(tmp_path / "small")) == 0
    small = Generator.load(tmp_path / "small")
    assert small.state["layers.1.conv.weight"].shape == (8, 8, 3, 3)
    assert small.state["mapping.layers.0.weight"].shape == (5, 5)


def test_re_parameterised_blocks_are_folded(tmp_path, capsys, prune):
    torch.save(upscaler("repvgg_strided").state_dict(), tmp_path / "net.pt")
    how = (str(tmp_path / "net.pt"), "--family", "tests.networks.reparameterised:Upscaler", "--size", "16x16")
    how = (*how, "--set", "kind=repvgg_strided", "--range", "0..1")
    out = str(tmp_path / "small")
    assert prune(*how, "--keep", "0.5", "--minimum", "4", "--multiple", "4", "--out", out) == 0
    assert "2 re-parameterised blocks folded: body.0, body.1" in capsys.readouterr().err
    assert json.loads(run("inspect", out, "--json", "--size", "16x16"))["folded"] == ["body.0", "body.1"]
    assert "2 re-parameterised blocks folded: body.0, body.1" in run("inspect", *how)
    assert prune(*how, "--keep", "0.5", "--loadable", "--out", out) == 2
    assert "no argument of its constructor sets" in " ".join(capsys.readouterr().err.split())


def test_a_network_of_images(tmp_path, capsys, prune):
    source, out = saved(tmp_path, "resnet", ngf=16, num_blocks=1), str(tmp_path / "small")
    how = (source, "--keep", "0.5", "--score", "activation_map", "--size", "16x16", "--out", out)
    assert prune(*how) == 2
    assert "got 'activation_map', which runs the generator, expected images" in " ".join(
        capsys.readouterr().err.split()
    )
    save_many(tmp_path / "photos", 3, height=20, width=20)
    assert prune(*how, "--images", str(tmp_path / "photos")) == 0
    assert Generator.load(tmp_path / "small").config["ngf"] == 8


def test_a_refit_on_a_folder(tmp_path, capsys, prune):
    source = saved(tmp_path, "resnet", ngf=16, num_blocks=1)
    photos = save_many(tmp_path / "photos", 6, height=20, width=20)
    how = (source, "--keep", "0.5", "--size", "16x16", "--refit", str(photos))
    assert prune(*how, "--out", str(tmp_path / "cut"), "--refit-images", "3") == 2
    assert "refit: got 3 inputs, which give 'blocks.0.conv1' 48 equations" in " ".join(capsys.readouterr().err.split())
    how = (*how[:3], "--size", "48x48", *how[5:], "--out", str(tmp_path / "fitted"))
    assert prune(*how) == 0
    assert "of 8 layers refitted" in capsys.readouterr().out
    fitted = Generator.load(tmp_path / "fitted")
    assert fitted.config["ngf"] == 8
    assert prune(*how, "--json") == 0
    assert [each["name"] for each in json.loads(capsys.readouterr().out)["refit"]["layers"]][:1] == ["stem.conv"]


def test_blocks_are_left_out(tmp_path, capsys, prune):
    source, out = saved(tmp_path, "resnet", ngf=16, num_blocks=2), tmp_path / "small"
    photos, how = str(save_many(tmp_path / "photos", 6, height=48, width=48)), (source, "--size", "48x48", "--out")
    assert prune(*how, str(out), "--keep", "0.5", "--depth", "0.5", "--images", photos) == 0
    assert len(Generator.load(out).architecture.left_out) == 1
    capsys.readouterr()
    assert prune(*how, str(out), "--keep", "1", "--left-out", "blocks.*", "--json") == 0
    assert json.loads(capsys.readouterr().out)["left_out"] == ["blocks.0", "blocks.1"]
    assert prune(*how, str(out), "--macs", "40M", "--depth", "auto", "--refit", photos) == 0
    assert "of 2 blocks left out" in " ".join(capsys.readouterr().err.split())
    for options, message in (
        (("--keep", "1", "--depth", "0.5"), "--depth: got no images to score blocks on, expected --refit FOLDER"),
        (("--keep", "1", "--depth", "auto"), "--depth: got auto without --macs, expected --macs as the budget"),
        (("--keep", "1", "--depth", "most"), "--depth: got 'most', expected a fraction of the blocks between 0 and 1"),
    ):
        assert prune(*how, str(out), *options) == 2
        assert message in " ".join(capsys.readouterr().err.split())


def test_a_refit_on_noise_and_label_maps(tmp_path, capsys, prune):
    source = saved(tmp_path, "sngan_32", ngf=8, latent_size=4)
    assert prune(source, "--keep", "0.5", "--multiple", "1", "--refit", "none", "--out", str(tmp_path / "small")) == 0
    assert "layers refitted" in capsys.readouterr().out
    source = saved(tmp_path, "resnet", ngf=16, num_blocks=1, in_channels=3)
    (tmp_path / "maps").mkdir()
    for number in range(4):
        labels = np.random.default_rng(number).integers(0, 3, (48, 48), dtype=np.uint8)
        Image.fromarray(labels).save(tmp_path / "maps" / f"{number}.png")
    how = (source, "--keep", "0.5", "--size", "48x48", "--labels", "3", "--out", str(tmp_path / "small"))
    assert prune(*how, "--refit", str(tmp_path / "maps")) == 0
    assert "layers refitted" in capsys.readouterr().out


def test_a_loadable_network_is_also_written_like_its_original(tmp_path, capsys, prune):
    torch.manual_seed(0)
    wide = build("srvggnet_compact", {"nf": 16, "num_conv": 2})
    torch.save({"params": wide.state_dict()}, tmp_path / "net.pth")
    how = (str(tmp_path / "net.pth"), "--keep", "0.5", "--size", "16x16", "--out", str(tmp_path / "small"))
    assert prune(*how, "--loadable") == 0
    assert "loadable.pth: opens as srvggnet_compact with nf 8" in " ".join(capsys.readouterr().err.split())
    assert torch.load(tmp_path / "small" / "loadable.pth")["params"]["body.0.weight"].shape == (8, 3, 3, 3)
    assert Generator.load(tmp_path / "small").config["nf"] == 8
