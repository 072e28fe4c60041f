"""Local server of one folder, with the headers that a page needs to run threads."""

from __future__ import annotations

import sys
from functools import partial
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, Self
from urllib.parse import unquote

from gancompress.errors import ExportError

HOST = "127.0.0.1"
TIMEOUT_S = 30.0
"""Longest wait for the next bytes of a request."""


class PageServer:
    """Server of a folder on 127.0.0.1.

    Attributes:
        address: URL of the page.
    """

    def __init__(self, folder: Path, port: int = 0) -> None:
        """Bind a port.

        Args:
            folder: Folder to serve.
            port: Number of the port; 0 for any free one.

        Raises:
            ExportError: The port is taken, or not allowed.
        """
        try:
            self._server = _Server((HOST, port), partial(_Handler, directory=str(folder)))
        except (OSError, OverflowError) as error:
            raise ExportError(f"--port: cannot serve on {port} ({error}); without --port a free one is taken") from None
        self.address = f"http://{HOST}:{self._server.server_port}/"

    def serve(self) -> None:
        """Serve until Ctrl-C."""
        try:
            self._server.serve_forever()
        except KeyboardInterrupt:
            pass
        finally:
            self._server.server_close()

    def __enter__(self) -> Self:
        """Serve from a thread."""
        self._thread = Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the server and its thread."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore closed connections, as from a browser that is closed while a network loads; report other errors."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(SimpleHTTPRequestHandler):
    """Handler that isolates files from other origins, because browsers share memory between threads only then.

    It answers requests for this machine alone: a page elsewhere whose name was made to lead here cannot read files.
    """

    extensions_map = {  # noqa: RUF012, as the class above it has it
        **SimpleHTTPRequestHandler.extensions_map,
        ".mjs": "text/javascript",
        ".wasm": "application/wasm",
    }
    protocol_version = "HTTP/1.1"
    timeout = TIMEOUT_S

    def parse_request(self) -> bool:
        """Read a request; refuse one for another host, or with a path that no file has."""
        if not super().parse_request():
            return False
        host = (self.headers.get("Host") or "").rpartition(":")[0] or self.headers.get("Host")
        if host not in (HOST, "localhost"):
            self.send_error(HTTPStatus.MISDIRECTED_REQUEST, "expected a request for 127.0.0.1 or localhost")
            return False
        if "\0" in unquote(self.path, errors="replace"):
            self.send_error(HTTPStatus.BAD_REQUEST, "got a path with a NUL, expected that of a file")
            return False
        return True

    def end_headers(self) -> None:
        """Add the headers of isolation.

        Source: https://developer.mozilla.org/docs/Web/API/Window/crossOriginIsolated
        """
        self.send_header("Cross-Origin-Opener-Policy", "same-origin")
        self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
        self.send_header("Cache-Control", "no-cache")
        super().end_headers()

    def log_message(self, format: str, *arguments: object) -> None:
        """Suppress the log, because the terminal is for the user."""
