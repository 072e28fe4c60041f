from __future__ import annotations

import copy
import functools
import gc
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from gancompress.deploy.web import runtime_folder
from gancompress.errors import ExportError
from gancompress.jobs import run_log
from gancompress.report.plots import Losses, losses_png

torch.manual_seed(0)  # for what test modules draw when they are imported
gc.disable()  # until everything is imported


def pytest_collection_finish() -> None:
    """Look for garbage among the objects of tests alone, and seldom: by default it takes a sixth of an export's time."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
    gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start files with slow tests first: one that starts last would keep a single process busy after all others."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(autouse=True, scope="session")
def _operators_of_onnx_once() -> Iterator[None]:
    """Read the operators of ONNX once, not for every file: it takes half of the time of a small export."""
    patch, really_export = pytest.MonkeyPatch(), torch.onnx.export

    @functools.cache
    def prepare() -> None:
        from torch.onnx._internal.exporter._registration import ONNXRegistry  # which imports onnxscript

        read = functools.cache(ONNXRegistry.from_torchlib)

        def copied(*version: int, **options: int) -> ONNXRegistry:
            registry = copy.copy(read(*version, **options))
            registry.functions = {target: list(found) for target, found in registry.functions.items()}
            return registry

        patch.setattr(ONNXRegistry, "from_torchlib", staticmethod(copied))

    def export(*arguments: Any, **options: Any) -> Any:
        prepare()
        return really_export(*arguments, **options)

    patch.setattr(torch.onnx, "export", export)
    yield
    patch.undo()


@pytest.fixture(autouse=True, scope="session")
def _one_curve_for_each_step() -> Iterator[None]:
    """Draw the curve of one loss only, not of all: in a tiny job the pictures take as long as the trainings."""

    def draw(losses: Losses, path: Path) -> None:
        term = next(iter(losses[-1][1]))
        losses_png([(num_images, {term: values[term]}) for num_images, values in losses if term in values], path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_log, "losses_png", draw)
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
