"""Running time of a step, including earlier processes that were stopped."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from pathlib import Path

from gancompress.io import write_atomically


class Clock:
    """Running time of a step, kept in ``seconds.json``. As a context manager it saves the time at the end."""

    def __init__(self, directory: Path) -> None:
        """Start, or go on from the saved time in the directory of the step."""
        self._file, self._began = directory / "seconds.json", time.perf_counter()
        self._before = _read(self._file)

    @property
    def seconds(self) -> float:
        """Seconds so far."""
        return self._before + time.perf_counter() - self._began

    def __enter__(self) -> None:
        """Do nothing: the clock runs from its creation."""

    def __exit__(self, *_: object) -> None:
        """Save the time for a resumed run; errors of a full disk are ignored."""
        with suppress(OSError):
            write_atomically(self._file, json.dumps(self.seconds).encode())


def _read(file: Path) -> float:
    """Return the saved time; 0 if there is none, or the file is damaged."""
    try:
        saved = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError):
        return 0.0
    return float(saved) if isinstance(saved, int | float) and 0 <= saved < float("inf") else 0.0
