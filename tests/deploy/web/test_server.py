"""The server of a page: files of its folder, for this machine alone, to connections that speak."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from gancompress.deploy.web import PageServer, server


@pytest.fixture
def port(tmp_path, monkeypatch) -> Iterator[int]:
    monkeypatch.setattr(server._Handler, "timeout", 0.3)
    (tmp_path / "page").mkdir()
    (tmp_path / "page" / "a.txt").write_text("hello")
    (tmp_path / "secret.txt").write_text("secret")
    with PageServer(tmp_path / "page") as running:
        yield int(running.address.rstrip("/").rpartition(":")[2])


def answer(port: int, request: bytes) -> bytes:
    """Everything that the server sends before it closes the connection."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(request)
        received = b""
        while part := connection.recv(65536):
            received += part
        return received


@pytest.mark.parametrize(
    ("path", "host", "status", "body"),
    [
        (b"/a.txt", b"127.0.0.1:1", b"200", b"hello"),
        (b"/a.txt", b"localhost", b"200", b"hello"),
        (b"/a.txt", b"rebound.example:8000", b"421", b"expected a request for 127.0.0.1 or localhost"),
        (b"/a.txt", b"127.0.0.1.rebound.example", b"421", b"expected a request"),
        (b"/a.txt", b"", b"421", b"expected a request"),
        (b"/a%00.txt", b"localhost", b"400", b"got a path with a NUL"),
        (b"/../secret.txt", b"localhost", b"404", b"not found"),
        (b"/%2e%2e/secret.txt", b"localhost", b"404", b"not found"),
        (b"/" + b"x" * 5000, b"localhost", b"404", b"not found"),
    ],
)
def test_requests(path, host, status, body, port, capfd):
    received = answer(port, b"GET " + path + b" HTTP/1.1\r\nHost: " + host + b"\r\n\r\n")
    assert received.startswith(b"HTTP/1.1 " + status)
    assert body in received
    assert b"secret\n" not in received
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("request_begun", [b"", b"GET /a.txt HTTP/1.1\r\nHost: loc"])
def test_a_connection_that_falls_silent_is_closed(request_begun, port):
    assert answer(port, request_begun) == b""
