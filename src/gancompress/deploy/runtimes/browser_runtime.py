"""Runtime onnxruntime-web: pages as `gancompress demo` shows them, timed in Chromium without a window."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from gancompress.deploy.axes import Inputs
from gancompress.deploy.named import NamedNetwork
from gancompress.deploy.runtimes.formats import Format, Mode
from gancompress.deploy.runtimes.packages import optional
from gancompress.deploy.runtimes.registry import register_runtime
from gancompress.deploy.runtimes.runtime import Runtime
from gancompress.deploy.runtimes.timed import RunTimes
from gancompress.errors import ExportError

_LOOK_AGAIN_S = 0.05
_OPENED = "window.demo && demo.turns.worker"
_READY = "demo.turns.idle && demo.turns.networks.every((each) => each.ready && each.shown)"


@register_runtime
class Browser(Runtime):
    """onnxruntime-web, WebAssembly."""

    name = "browser"
    title = "onnxruntime-web"
    runs_on = "browsers, by WebAssembly"
    package = "playwright"
    extra = "browser"
    formats = (Format(name="web", file_name="web", page=True),)
    modes = (Mode("browser", "onnxruntime-web", format="web", on_request=True, max_batch=1, elsewhere=True),)

    def prepare(self, network: NamedNetwork, folder: Path, say: Callable[[str], None]) -> Path:
        """Write a page with one network and one drawn input; return the network's file."""
        from gancompress.deploy.web import Contents, drawn_inputs, runtime_folder, write_page

        alone = replace(network, name="original")
        contents = Contents(network.name, samples=drawn_inputs(network.form, count=1))
        page = folder / f"{network.name.replace('/', '_')}-page"
        write_page(page, contents, [alone], runtime_folder(), lambda line: say(line.replace("original", network.name)))
        return page / f"{alone.name}.onnx"

    def timed(self, mode: Mode, path: Path, inputs: Inputs, threads: int | None) -> InBrowser:
        """Open the page of a network's file; the page has inputs of its own."""
        return InBrowser(path.parent, threads)


class InBrowser:
    """Single network of a page, run by the page's own program (onnxruntime-web, WebAssembly) on the page's input.

    The page measures the times: from the numbers that go in to the numbers that come out.
    """

    def __init__(self, page: Path, threads: int | None) -> None:
        """Serve the page, open it, and wait until the network has drawn its first image.

        Args:
            page: The folder.
            threads: Number of threads; the page's own choice by default.

        Raises:
            ExportError: Playwright or Chromium is missing, or the page does not run there.
        """
        from gancompress.deploy.web import PageServer

        self._complaints: list[str] = []
        with ExitStack() as stack:
            server = stack.enter_context(PageServer(page))
            playwright = stack.enter_context(_playwright_api().sync_playwright())
            browser = playwright.chromium.launch(executable_path=chromium(playwright))
            stack.callback(browser.close)
            self._page = browser.new_page()
            self._page.on("pageerror", lambda error: self._complaints.append(str(error)))
            self._page.goto(server.address, timeout=0)
            self._wait_until(_OPENED)
            if threads is not None:
                self._page.evaluate(f"demo.turns.open('wasm', {threads})")
            self._wait_until(_READY)
            self._stack = stack.pop_all()

    def times(self, num_runs: int, settle_ms: float) -> RunTimes:
        """Return the times of consecutive runs, after uncounted runs of at least ``settle_ms``."""
        passed = 0.0
        while passed < settle_ms:
            passed += sum(self._run(1))
        return RunTimes(self._run(num_runs))

    def peak_bytes(self, before: int | None) -> int | None:
        """Return None: the memory belongs to the browser."""
        return None

    def profile(self, num_runs: int) -> dict[str, float] | None:
        """Return None: the page has no profile."""
        return None

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the browser."""
        self._stack.close()

    def _run(self, num_runs: int) -> list[float]:
        """Return the milliseconds of runs as the page measures them, after an uncounted run."""
        (times,) = self._page.evaluate(f"demo.time({num_runs}).then(Object.values)")
        return times

    def _wait_until(self, condition: str) -> None:
        """Poll a condition from outside, because the page forbids evaluating text inside."""
        while not self._page.evaluate(f"!!({condition})"):
            status = self._page.locator("#status.failed")
            if status.count():
                self._complaints.append(status.inner_text())
            if self._complaints:
                raise ExportError(f"the page says: {self._complaints[0]}")
            time.sleep(_LOOK_AGAIN_S)


def _playwright_api() -> Any:
    return optional("playwright.sync_api", "browser", "browser: opening a page")


def chromium(playwright: Any) -> str:
    """Return the path of this machine's Chromium, or else of Playwright's own.

    Args:
        playwright: Playwright, started.

    Raises:
        ExportError: There is neither.
    """
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if (path := shutil.which(name)) is not None:
            return path
    path = playwright.chromium.executable_path
    if not Path(path).is_file():
        raise ExportError(
            "browser: found no Chromium, expected chromium or google-chrome among the programs of this machine, or "
            "Playwright's own: pip install 'gancompress[browser]' and playwright install chromium"
        )
    return path
