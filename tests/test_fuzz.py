"""Mutated recipes and command lines end in one short line, in bounded time; `scripts/fuzz.py` tries more."""

from __future__ import annotations

import random
import time

import pytest
import typer
from typer.testing import CliRunner

from gancompress.cli import app
from gancompress.errors import MAX_MESSAGE, GanCompressError
from gancompress.jobs.recipe import load_job
from tests.fuzzing import mutations

RECIPES, COMMANDS, MOST_SECONDS = 120, 40, 5.0


def check_message(error: GanCompressError) -> None:
    assert len(str(error)) <= MAX_MESSAGE
    assert str(error).isprintable()


@pytest.mark.parametrize("text", mutations.TEXTS, ids=range(len(mutations.TEXTS)))
def test_texts_that_are_no_recipes(text, tmp_path):
    (tmp_path / "x.yaml").write_text(text)
    with pytest.raises(GanCompressError) as caught:
        load_job(str(tmp_path / "x.yaml"))
    check_message(caught.value)


def test_mutated_recipes(tmp_path):
    file = tmp_path / "x.yaml"
    for number, text in zip(range(RECIPES), mutations.recipes(random.Random(0)), strict=False):
        file.write_text(text, encoding="utf-8", errors="surrogatepass")
        began = time.process_time()
        try:
            load_job(str(file))
        except GanCompressError as error:
            check_message(error)
        except Exception as error:
            raise AssertionError(f"recipe {number}: {type(error).__name__}: {error}\n{text[:2000]}") from error
        assert time.process_time() - began < MOST_SECONDS, text[:2000]


def test_long_chains_of_extends(tmp_path):
    for number in range(1000):
        (tmp_path / f"{number}.yaml").write_text(f"extends: {number + 1}.yaml")
    with pytest.raises(GanCompressError, match="extended over more than 20 recipes"):
        load_job(str(tmp_path / "0.yaml"))


def test_random_command_lines(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    runner = CliRunner()
    for line in (next(mutations.command_lines(random.Random(seed), tmp_path)) for seed in range(COMMANDS)):
        error = runner.invoke(app, line).exception
        if isinstance(error, GanCompressError):
            check_message(error)
        else:
            assert isinstance(error, SystemExit | OSError | typer.Abort | None), (line, error)
