from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

FLAGS = ["--no-sandbox", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
"""A container has no sandbox of its own; the camera is Chromium's test picture."""


@pytest.fixture(scope="session")
def browser(chromium_path) -> Iterator[Any]:
    """A real Chromium without a window."""
    api = pytest.importorskip("playwright.sync_api", reason="needs playwright (pip install 'gancompress[browser]')")
    with api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium_path, args=FLAGS)
        yield opened
        opened.close()
