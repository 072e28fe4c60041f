"""Graceful stop on Ctrl-C or SIGTERM; a second signal stops at once."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType


@contextmanager
def until_asked_to_stop(say: Callable[[str], None]) -> Iterator[Callable[[], bool]]:
    """Turn the first Ctrl-C or SIGTERM into a stop request instead of an exception.

    Args:
        say: Called with a message that confirms the request.

    Yields:
        A function that returns whether to stop at the next opportunity.
    """
    asked = False
    before: dict[int, object] = {}

    def hear(number: int, _: FrameType | None) -> None:
        nonlocal asked
        asked = True
        restore()
        with suppress(RuntimeError):  # the signal interrupted other output, and print is not reentrant
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
