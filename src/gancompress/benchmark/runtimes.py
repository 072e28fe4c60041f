"""The runtimes that networks and exported files are timed on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec

import torch

from gancompress.benchmark.in_browser import playwright_api
from gancompress.errors import ConfigError, nearest
from gancompress.export.named import NamedFile, NamedNetwork

Candidate = NamedNetwork | NamedFile
"""What is timed."""


@dataclass(frozen=True)
class Runtime:
    """What a runtime runs.

    Attributes:
        format: Of the file that it gets of a network, ``web`` for a page; None where it runs the network itself.
        endings: Of the exported files that it runs.
        package: What must be installed for it beside this package's own needs.
    """

    format: str | None = None
    endings: tuple[str, ...] = ()
    package: str = "torch"


RUNTIMES: Mapping[str, Runtime] = {
    "eager": Runtime(endings=(".pt2",)),
    "compiled": Runtime(),
    "onnxruntime": Runtime("onnx", (".onnx",), "onnxruntime"),
    "openvino": Runtime("openvino", (".xml", ".onnx"), "openvino"),
    "openvino_bf16": Runtime("openvino", (".xml", ".onnx"), "openvino"),
    "browser": Runtime("web", package="playwright"),
    "cuda": Runtime(),
    "cuda_graph": Runtime(),
}
"""Every runtime by name."""

_ON_REQUEST = ("compiled", "browser")
"""Those that take up to minutes before they run: left to whoever asks for them."""


def available_runtimes(candidates: Sequence[Candidate] = ()) -> list[str]:
    """Those whose package and device are there, and that run all candidates, but those that take long to begin.

    Raises:
        ConfigError: No runtime runs all candidates.
    """
    found = [
        name
        for name, runtime in RUNTIMES.items()
        if name not in _ON_REQUEST
        and find_spec(runtime.package)
        and (torch.cuda.is_available() or not name.startswith("cuda"))
        and all(_runs(runtime, each) for each in candidates)
    ]
    if not found:
        what = " and ".join(str(each.path) for each in candidates if isinstance(each, NamedFile))
        raise ConfigError(
            f"bench: found no installed runtime that runs {what}, expected one for all; give files of one kind "
            "(.onnx, .xml or .pt2), or install their runtime"
        )
    return found


def check_runtimes(names: Sequence[str], candidates: Sequence[Candidate], batches: Sequence[int]) -> None:
    """Refuse what cannot be timed, before anything is exported.

    Raises:
        ConfigError: There is no such runtime, it runs no such file, or not so many images at once.
        ExportError: Playwright is missing, which opens pages.
    """
    for name in names:
        if name not in RUNTIMES:
            raise ConfigError(f"--runtime: got '{name}', expected a known one; {nearest(name, RUNTIMES)}")
        wrong = next((each for each in candidates if not _runs(RUNTIMES[name], each)), None)
        if isinstance(wrong, NamedFile):
            able = [other for other, runtime in RUNTIMES.items() if _runs(runtime, wrong)]
            raise ConfigError(
                f"{wrong.path}: got the runtime '{name}', expected {' or '.join(able)}, which run {wrong.path.suffix} "
                f"files; for {name} give the directory or the checkpoint of the network"
            )
        if name == "browser":
            playwright_api()
            if set(batches) != {1}:
                raise ConfigError(
                    f"--batch: got {max(batches)} for the runtime 'browser', expected 1: a page runs one image at once"
                )


def _runs(runtime: Runtime, candidate: Candidate) -> bool:
    return isinstance(candidate, NamedNetwork) or candidate.path.suffix in runtime.endings
