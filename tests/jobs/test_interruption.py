"""Signals while a library works that cannot be asked to stop."""

from __future__ import annotations

import os
import signal
import time

import pytest

from gancompress.errors import Interrupted
from gancompress.jobs.interruption import ending_at_once, until_asked_to_stop


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("swallowed", [Exception, BaseException])
def test_the_first_signal_ends_the_work_even_if_a_library_swallows_it(number, swallowed):
    before = signal.getsignal(number)

    def export() -> None:
        try:
            os.kill(os.getpid(), number)
            time.sleep(5)
            pytest.fail("the signal was swallowed")
        except swallowed:  # one way of an exporter failed, so it tries the next
            pass

    said: list[str] = []
    stopped = pytest.raises(Interrupted, match="stopped; everything is saved")
    with stopped, until_asked_to_stop(said.append) as stop, ending_at_once(stop):
        export()
    assert signal.getsignal(number) is before


def test_a_request_from_before_ends_it_before_it_starts():
    with pytest.raises(Interrupted), ending_at_once(lambda: True):
        pytest.fail("it started")


def test_other_errors_stay_what_they_are():
    with pytest.raises(KeyError), ending_at_once(lambda: False):
        raise KeyError("x")
    with pytest.raises(KeyboardInterrupt), ending_at_once(lambda: False):
        raise KeyboardInterrupt
