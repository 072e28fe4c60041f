"""What a page is made of, and the mistakes on the way to one; no browser needed."""

from __future__ import annotations

import json
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tarfile
import threading
import urllib.request
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from gancompress.cli.pages import PageChoices, write_page_of
from gancompress.data import Classes
from gancompress.deploy.named import NamedNetwork
from gancompress.deploy.web import (
    PageServer,
    drawn_label_maps,
    drawn_scenes,
    is_page,
    kind_of,
    principal_directions,
    read_samples,
    runtime_folder,
)
from gancompress.deploy.web import runtime as runtime_module
from gancompress.deploy.web.manifest import check_networks
from gancompress.deploy.web.runtime import FILES, unpack
from gancompress.errors import DataError, ExportError
from gancompress.networks.file_form import FileForm
from gancompress.networks.generator import Generator
from gancompress.networks.registry import build

RESNET = {"ngf": 4, "num_blocks": 1}


@pytest.fixture
def files(tmp_path) -> Path:
    """Empty files under the names of the runtime's."""
    folder = tmp_path / "files"
    folder.mkdir()
    for name in FILES:
        (folder / name).write_bytes(b"")
    return folder


def save(folder: Path, **config) -> str:
    options = {**RESNET, **config}
    Generator.from_module(build("resnet", options), "resnet", options).save(folder)
    return str(folder)


class Linear(nn.Module):
    """An image of two pixels that are sums of the noise."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.zeros(192, 6)
        self.weight[:96, 1] = 3.0
        self.weight[96:, 4] = -1.0

    def forward(self, noise: torch.Tensor) -> torch.Tensor:
        return (noise @ self.weight.T).view(-1, 3, 8, 8)


def test_directions_are_singular_vectors_of_the_jacobian():
    first, second = principal_directions(Linear(), noise_size=6, count=2)
    np.testing.assert_allclose(first, [0, 1, 0, 0, 0, 0], atol=0.05)
    np.testing.assert_allclose(np.abs(second), [0, 0, 0, 0, 1, 0], atol=0.05)
    assert np.dot(first, second) == pytest.approx(0, abs=1e-6)


def test_what_a_page_can_show():
    def form(*shapes: tuple[int, ...], integers: bool = False) -> FileForm:
        kind = torch.int32 if integers else torch.float32
        return FileForm(nn.Identity(), tuple(torch.zeros(shape, dtype=kind) for shape in shapes))

    assert kind_of(form((1, 3, 8, 8))) == kind_of(form((1, 1, 8, 8))) == "image"
    assert kind_of(form((1, 8))) == "latent"
    assert kind_of(form((1, 8, 8), integers=True)) == "labels"
    for wrong in (form((1, 35, 8, 8)), form((1, 8), (1, 8)), form((1, 80, 64))):
        with pytest.raises(ExportError, match="expected images of 1 or 3 channels, one vector of noise, or label maps"):
            kind_of(wrong)


class Two(nn.Module):
    def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"image": image, "mask": image[:, :1]}


def test_a_page_shows_one_output():
    net, image = Two(), torch.zeros(1, 3, 8, 8)
    network = NamedNetwork("net", Generator.from_module(net), FileForm(net, (image,)), (image,))
    with pytest.raises(
        ExportError, match=r"^web: got a network of the outputs image, mask, expected one image; take a"
    ):
        check_networks([network])


def test_a_page_is_self_contained_and_tells_what_it_holds(tmp_path, files):
    pytest.importorskip("onnxscript")
    page = tmp_path / "page"
    assert not is_page(page)
    (report,) = write_page_of(
        save(tmp_path / "net", in_channels=4), None, page, PageChoices(size="32x64", labels=4, runtime=files)
    )
    assert report.max_difference < 1e-4
    assert is_page(page)
    manifest = json.loads((page / "manifest.json").read_text())
    assert manifest["title"] == "net"
    assert [label["name"] for label in manifest["input"]["labels"]] == ["0", "1", "2", "3"]
    assert {key: manifest["input"][key] for key in ("kind", "names", "height", "width", "multiple", "edges")} == {
        "kind": "labels",
        "names": ["labels"],
        "height": 32,
        "width": 64,
        "multiple": 4,
        "edges": False,
    }
    (network,) = manifest["networks"]
    module = build("resnet", {**RESNET, "in_channels": 4})
    assert network["parameters"] == sum(parameter.numel() for parameter in module.parameters())
    assert network["file_bytes"] == (page / network["file"]).stat().st_size
    for sample in manifest["samples"]:
        with Image.open(page / sample["file"]) as image:
            assert (image.size, image.mode) == ((64, 32), "L")
    assert {path.name for path in (page / "runtime").iterdir()} == set(FILES)
    sources = " ".join(path.read_text() for path in page.iterdir() if path.suffix in (".html", ".js", ".css"))
    named = set(re.findall(r"[\"'](?:\./)?([\w./-]+\.(?:js|css|mjs))[\"']", sources))
    assert named >= {"app.js", "style.css", "worker.js", "ort.wasm.min.mjs"}
    for name in named:
        assert (page / name).is_file() or (page / "runtime" / name).is_file(), name
    assert re.findall(r"https?://\S+", sources) == []  # nothing from anywhere else


def test_two_networks_must_take_the_same(tmp_path, files):
    one, other = save(tmp_path / "one"), save(tmp_path / "other", in_channels=1)
    with pytest.raises(
        ExportError, match=r"got compressed with inputs \[\(1, 1, 32, 32\)\], expected \[\(1, 3, 32, 32\)\]"
    ):
        write_page_of(one, other, tmp_path / "page", PageChoices(size="32x32", runtime=files))
    with pytest.raises(ExportError, match="got a network of 1x5x32x32, expected images of 1 or 3 channels"):
        write_page_of(
            save(tmp_path / "five", in_channels=5), None, tmp_path / "page", PageChoices(size="32x32", runtime=files)
        )


def test_drawn_samples():
    (sketch,), (photo,) = (drawn_scenes(start, (32, 48), 1) for start in ("sketch", "photo"))
    assert sketch.image.size == photo.image.size == (48, 32)
    assert np.asarray(sketch.image).mean() > 200 > np.asarray(photo.image).mean()
    for sample in drawn_label_maps(5, (32, 64)):
        labels = np.asarray(sample.image)
        assert labels.shape == (32, 64)
        assert 1 < np.unique(labels).size <= 5
        assert labels.max() < 5


def test_samples_of_a_folder_are_cut_around_the_middle(tmp_path):
    image = np.zeros((20, 40, 3), np.uint8)
    image[:, 10:30] = 200
    Image.fromarray(image).save(tmp_path / "wide.png")
    (sample,) = read_samples(tmp_path, (20, 20))
    assert sample.name == "wide"
    assert (np.asarray(sample.image) == 200).all()
    Image.fromarray(np.full((8, 8), 255, np.uint8)).save(tmp_path / "wide.png")
    (labels,) = read_samples(tmp_path, (4, 4), Classes(num_classes=3))
    assert (np.asarray(labels.image) == 3).all()  # "don't care"
    (tmp_path / "wide.png").unlink()
    with pytest.raises(DataError, match=r"--samples: .* holds no images, expected some of .png"):
        read_samples(tmp_path, (4, 4))
    with pytest.raises(DataError, match=r"--samples: got .*nowhere, expected a folder of images"):
        read_samples(tmp_path / "nowhere", (4, 4))
    with pytest.raises(DataError, match=r"--calibration: got .*nowhere, expected a folder of images"):
        read_samples(tmp_path / "nowhere", (4, 4), option="--calibration")


def test_files_of_the_runtime(tmp_path, files, monkeypatch):
    assert runtime_folder(files) == files
    shutil.copytree(files, tmp_path / "package" / "dist")
    assert runtime_folder(tmp_path) == tmp_path / "package" / "dist"
    (files / FILES[2]).unlink()
    with pytest.raises(
        ExportError, match=rf"--runtime: .* lacks {FILES[2]}, expected the files of onnxruntime-web; get"
    ):
        runtime_folder(files)
    monkeypatch.setenv("GANCOMPRESS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(runtime_module.shutil, "which", lambda name: None)
    with pytest.raises(ExportError, match=r"found no npm, .* install npm, or get .* and put the files into .*/cache/"):
        runtime_folder()
    npm = tmp_path / "npm"
    npm.write_text("#!/bin/sh\necho 'npm error network is unreachable' >&2\nexit 1\n")
    npm.chmod(0o755)
    monkeypatch.setattr(runtime_module.shutil, "which", lambda name: str(npm))
    with pytest.raises(
        ExportError, match=r"npm could not get onnxruntime-web \(npm error network is unreachable\); try"
    ):
        runtime_folder()


def test_another_archive_is_refused(tmp_path):
    archive = tmp_path / "onnxruntime-web.tgz"
    with tarfile.open(archive, "w:gz"):
        pass
    with pytest.raises(ExportError, match=r"got a file with SHA-512 .*, expected q0y.*; nothing was kept"):
        unpack(archive, tmp_path / "kept")
    assert not (tmp_path / "kept").exists()


def test_a_taken_port_is_one_line(tmp_path):
    with PageServer(tmp_path) as server:
        port = int(server.address.rsplit(":")[-1].strip("/"))
        with pytest.raises(
            ExportError, match=rf"--port: cannot serve on {port} .*; without --port a free one is taken"
        ):
            PageServer(tmp_path, port)


def test_a_browser_that_goes_is_no_error(tmp_path, capfd):
    (tmp_path / "large").write_bytes(bytes(2**25))
    with PageServer(tmp_path) as server:
        host, port = server.address.removeprefix("http://").strip("/").split(":")
        with socket.create_connection((host, int(port))) as asking:
            asking.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # closes by a reset
            asking.sendall(b"GET /large HTTP/1.1\r\nHost: here\r\n\r\n")
            asking.recv(1024)
        with urllib.request.urlopen(f"{server.address}large", timeout=10) as answer:
            assert len(answer.read()) == 2**25
        for thread in threading.enumerate():
            if "process_request" in thread.name:
                thread.join(10)
    assert capfd.readouterr().err == ""


def test_the_verb_serves_a_page_until_it_is_interrupted(tmp_path):
    (tmp_path / "manifest.json").write_text('{"format": "gancompress-page"}')
    command = [sys.executable, "-u", "-m", "gancompress", "demo", str(tmp_path)]
    heard = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # a job in the background would not hear it
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, preexec_fn=heard) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        address = re.match(r"(http://127\.0\.0\.1:\d+/)  shows", line)
        assert address is not None, line
        with urllib.request.urlopen(f"{address[1]}manifest.json", timeout=10) as answer:
            assert json.load(answer)["format"] == "gancompress-page"
            assert answer.headers["Cross-Origin-Opener-Policy"] == "same-origin"
            assert answer.headers["Cross-Origin-Embedder-Policy"] == "require-corp"
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=20) == 0
