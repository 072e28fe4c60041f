from __future__ import annotations

import gc
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from gancompress.deploy.web import runtime_folder
from gancompress.errors import ExportError
from tests import once

torch.manual_seed(0)  # for what test modules draw when they are imported
gc.disable()  # until everything is imported


def pytest_collection_finish() -> None:
    """Look for garbage among objects of tests alone, and seldom: by default it takes a sixth of an export's time."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
    gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start files with slow tests first: one that starts last would keep a single process busy after all others."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(autouse=True, scope="session")
def _done_once() -> Iterator[None]:
    """Do in a process once what many tests repeat in passing."""
    with pytest.MonkeyPatch.context() as patch:
        once.operators_of_onnx(patch)
        once.scenes(patch)
        once.graphs(patch)
        once.curves(patch)
        yield


@pytest.fixture(autouse=True)
def _seeded() -> None:
    """Every test draws the same random numbers each time."""
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real weights and images, which live beside the project and never in it."""
    path = Path(__file__).parents[2] / "shared" / "data"
    if not path.is_dir():
        pytest.skip(f"needs the shared data in {path}")
    return path


@pytest.fixture(scope="session")
def runtime() -> Path:
    """The files of onnxruntime-web, in the cache or got by npm."""
    try:
        return runtime_folder()
    except ExportError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def chromium_path() -> str:
    """Chromium's program."""
    path = shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("needs Chromium (apt-get install chromium)")
    return path
