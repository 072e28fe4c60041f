"""Graceful stop on Ctrl-C or SIGTERM: training ends after its batch, other work at once; a second signal stops at once.

Training polls. What cannot poll, such as the export of a file by a library, is left by an exception.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from gancompress.errors import STOPPED, Interrupted


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
            say("stopping as soon as this batch or candidate is done; ask again to stop at once")

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    for number in (signal.SIGINT, signal.SIGTERM):
        before[number] = signal.signal(number, hear)
    try:
        yield lambda: asked
    finally:
        restore()


@contextmanager
def ending_at_once(stop: Callable[[], bool]) -> Iterator[None]:
    """Leave the work inside on the first Ctrl-C or SIGTERM, and on a request from before.

    Args:
        stop: Returns True once the user asked to stop.

    Raises:
        Interrupted: A signal arrived, even if the work inside swallowed its exception, or ``stop`` returned True.
    """
    if stop():
        raise Interrupted(STOPPED)
    if threading.current_thread() is not threading.main_thread():  # only it receives signals
        yield
        return
    asked = False

    def leave(number: int, _: FrameType | None) -> None:
        nonlocal asked
        asked = True
        raise KeyboardInterrupt  # which libraries that try one way after another do not catch

    before = {number: signal.signal(number, leave) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    except BaseException:
        if asked:
            raise Interrupted(STOPPED) from None
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if asked or stop():
        raise Interrupted(STOPPED)
