"""Verbs of the command line, called in this process."""

from __future__ import annotations

from typer.testing import CliRunner

from gancompress.cli import app


def run(*arguments: object) -> str:
    """Standard output of a verb; raises what it raises."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout
