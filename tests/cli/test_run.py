"""Pictures, folders and videos through a network, from the command line."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

import gancompress
from gancompress.errors import ConfigError, DataError
from gancompress.io.pictures import read_picture
from gancompress.networks.generator import Generator
from gancompress.networks.registry import build
from tests.cli.verbs import run

PIXELS = np.random.default_rng(0).integers(0, 256, (40, 30, 3), dtype=np.uint8)
CONFIG = {"nf": 4, "num_conv": 1, "scale": 2}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    torch.manual_seed(0)
    Generator.from_module(build("srvggnet_compact", CONFIG), "srvggnet_compact", CONFIG).save(folder / "net")
    (folder / "in").mkdir()
    for name in ("a.png", "b.jpg"):
        Image.fromarray(PIXELS).save(folder / "in" / name)
    return folder


def test_pictures_become_pictures(folder):
    shown = run("run", folder / "net", folder / "in", "--out", folder / "out", "--tiles", 16)
    assert "80x60" in shown
    expected = gancompress.load(folder / "net")(folder / "in" / "a.png", tiles=None)
    for name in ("a.png", "b.png"):
        assert read_picture(folder / "out" / name).size == (60, 80)
    far = np.asarray(read_picture(folder / "out" / "a.png")).astype(int) - np.asarray(expected)
    assert np.abs(far).max() <= 1


def test_videos_become_frames(folder):
    av = pytest.importorskip("av")
    with av.open(str(folder / "a.mkv"), "w") as container:
        stream = container.add_stream("ffv1", rate=5)
        stream.width, stream.height, stream.pix_fmt = 30, 40, "bgr0"
        for _ in range(2):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(PIXELS, format="rgb24")))
        container.mux(stream.encode(None))
    assert "2 frames" in run("run", folder / "net", folder / "a.mkv", "--out", folder / "frames")
    frames = sorted((folder / "frames" / "a").iterdir())
    assert [each.name for each in frames] == ["000001.png", "000002.png"]
    assert read_picture(frames[1]).size == (60, 80)


def test_what_run_refuses(folder, monkeypatch):
    net, given, out = folder / "net", folder / "in", folder / "other"
    (folder / "empty").mkdir()
    cases = [
        (
            (given / "c.png",),
            DataError,
            r"c\.png: no such file or folder, expected a picture, a folder of pictures, or",
        ),
        ((folder / "empty",), DataError, r"empty: got a folder without pictures, expected some"),
        (
            (given, given / "a.png", "--tiles", "big"),
            ConfigError,
            r"--tiles: got 'big', expected a side in pixels, auto",
        ),
        ((given, given / "a.png"), ConfigError, r"--out: got .*a\.png and .*a\.png, which would both be .*a\.png"),
        ((given / "a.png", "--tiles", "4"), ConfigError, r"net: got tiles of 4 px, expected at least"),
    ]
    for arguments, error, message in cases:
        with pytest.raises(error, match=message):
            run("run", net, *arguments, "--out", out)
    with pytest.raises(ConfigError, match=r"--out: got .*, where a\.png is the input itself; name another folder"):
        run("run", net, given / "a.png", "--out", given)
    assert not list(out.glob("*"))
    loaded = gancompress.load(net)
    loaded.contract = {"outputs": ["image", "draft"]}
    monkeypatch.setattr("gancompress.deploy.load", lambda *_, **__: loaded)
    with pytest.raises(
        ConfigError, match=r"net: got a network of the outputs image, draft, expected one image; .*load"
    ):
        run("run", net, given, "--out", out)
