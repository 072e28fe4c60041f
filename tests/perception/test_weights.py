from __future__ import annotations

import hashlib
import http.server
import threading
from pathlib import Path

import pytest
import torch
from torch import nn

from gancompress.errors import CheckpointError
from gancompress.perception import WEIGHTS, WeightFile, fetch_weights, load_weights


@pytest.fixture
def published(tmp_path: Path) -> Path:
    path = tmp_path / "published.pth"
    torch.save(nn.Linear(2, 3).state_dict(), path)
    return path


def entry(path: Path, url: str | None = None, sha256: str | None = None) -> WeightFile:
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:8]
    return WeightFile("weights.pth", url or path.as_uri(), sha256 or digest)


def test_downloads_into_the_cache_once(published, tmp_path):
    file = entry(published)
    path = fetch_weights(file, tmp_path / "cache")
    assert path == tmp_path / "cache" / "weights.pth"
    assert path.read_bytes() == published.read_bytes()
    published.unlink()
    assert fetch_weights(file, tmp_path / "cache") == path


def test_wrong_checksum_keeps_nothing(published, tmp_path):
    with pytest.raises(CheckpointError, match=r"weights\.pth: got a file with SHA-256 .* expected 00000000"):
        fetch_weights(entry(published, sha256="00000000"), tmp_path / "cache")
    assert not list((tmp_path / "cache").iterdir())


def test_damaged_file_in_the_cache_is_named(published, tmp_path):
    (tmp_path / "weights.pth").write_bytes(published.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match=r"weights\.pth: got a file with SHA-256.*delete it, and copy file:"):
        fetch_weights(entry(published), tmp_path)


def test_offline_says_which_file_to_put_where(published, tmp_path):
    file = entry(published, url=(tmp_path / "absent.pth").as_uri())
    with pytest.raises(CheckpointError) as error:
        fetch_weights(file, tmp_path / "cache")
    message = str(error.value)
    assert "weights.pth: downloading" in message
    assert f"put it at {tmp_path / 'cache' / 'weights.pth'}" in message
    assert "\n" not in message
    assert not list((tmp_path / "cache").iterdir())


class Truncating(http.server.BaseHTTPRequestHandler):
    body = b""

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body[: len(self.body) if self.path == "/whole" else len(self.body) // 2])

    def log_message(self, format, *args):
        pass


@pytest.fixture
def server(published):
    handler = type("Handler", (Truncating,), {"body": published.read_bytes()})
    with http.server.HTTPServer(("127.0.0.1", 0), handler) as serving:
        thread = threading.Thread(target=serving.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{serving.server_port}"
        serving.shutdown()
        thread.join()


def test_http(published, server, tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    path = fetch_weights(entry(published, url=f"{server}/whole"), tmp_path / "cache")
    assert path.read_bytes() == published.read_bytes()


def test_truncated_download_keeps_nothing(published, server, tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with pytest.raises(CheckpointError, match=r"weights\.pth: got \d+ of \d+ bytes from http"):
        fetch_weights(entry(published, url=f"{server}/half"), tmp_path / "cache")
    assert not list((tmp_path / "cache").iterdir())


@pytest.mark.parametrize("name", WEIGHTS)
def test_published_names_carry_their_checksum(name):
    file = WEIGHTS[name]
    assert int(file.sha256, 16) >= 0
    assert len(file.sha256) == (8 if name == "squeezenet1_0" else 64)
    if not name.startswith("lpips"):
        assert Path(file.name).stem.endswith(f"-{file.sha256[:8]}")
        assert file.url.endswith(file.name)


def test_load_weights_takes_what_matters(published, tmp_path):
    state = torch.load(published, weights_only=True)
    torch.save(state | {"classifier.weight": torch.zeros(1)}, published)
    network = nn.Linear(2, 3)
    load_weights(network, published, ("weight", "bias"))
    assert network.weight.equal(state["weight"])


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (nn.Linear(2, 4), r"'weight': got shape \(3, 2\), expected \(4, 2\)"),
        (nn.Conv1d(2, 3, 1, bias=False), "has bias too much"),
        (nn.Bilinear(2, 2, 3), "'weight'"),
        (nn.Sequential(nn.Linear(2, 3)), "lacks 0.weight, 0.bias"),
    ],
)
def test_weights_that_do_not_fit(network, message, published):
    with pytest.raises(CheckpointError, match=message):
        load_weights(network, published)
