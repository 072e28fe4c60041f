from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from gancompress.errors import ExportError
from gancompress.export.web import runtime_folder

FLAGS = ["--no-sandbox", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
"""A container has no sandbox of its own; the camera is Chromium's test picture."""


@pytest.fixture(scope="session")
def runtime():
    """The files of onnxruntime-web, in the cache or got by npm."""
    try:
        return runtime_folder()
    except ExportError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A real Chromium without a window."""
    api = pytest.importorskip("playwright.sync_api", reason="needs playwright (pip install 'gancompress[dev]')")
    path = shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("needs Chromium (apt-get install chromium)")
    with api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield opened
        opened.close()
