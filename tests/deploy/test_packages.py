"""Optional packages: what they log while they convert."""

from __future__ import annotations

import logging

import pytest

from gancompress.deploy.runtimes.packages import quiet


@pytest.mark.parametrize("level", [logging.INFO, logging.WARNING, logging.ERROR])
def test_logs_of_converters_are_not_shown_beside_their_error(level, caplog):
    log = logging.getLogger("some_converter")
    with caplog.at_level(logging.DEBUG), quiet():
        log.log(level, "inside")
    assert "inside" not in caplog.text
    with caplog.at_level(logging.DEBUG):
        log.log(level, "after")
    assert "after" in caplog.text
