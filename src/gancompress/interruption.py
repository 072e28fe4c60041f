"""Stopping on request: the first signal asks, the second insists."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType


@contextmanager
def until_asked_to_stop(say: Callable[[str], None]) -> Iterator[Callable[[], bool]]:
    """Turn the first Ctrl-C or SIGTERM into an answer instead of an exception.

    Args:
        say: Tells the user that the request was heard.

    Yields:
        Whether to stop at the next opportunity.
    """
    asked = False
    before: dict[int, object] = {}

    def hear(number: int, _: FrameType | None) -> None:
        nonlocal asked
        asked = True
        restore()
        with suppress(RuntimeError):  # the signal came amid other output, which cannot be cut into
            say("stopping as soon as this batch or candidate is done; once more stops at once")

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    for number in (signal.SIGINT, signal.SIGTERM):
        before[number] = signal.signal(number, hear)
    try:
        yield lambda: asked
    finally:
        restore()
