"""Trials of what is read: recipes, command lines, run directories."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from random import Random
from unittest.mock import patch

from typer.testing import CliRunner

from gancompress.cli import app
from gancompress.errors import GanCompressError
from gancompress.jobs.pipeline import Pipeline
from gancompress.jobs.recipe import load_job
from gancompress.networks.generator import Generator
from gancompress.networks.registry import build
from tests.cli.test_jobs import RECIPE

from . import mutations
from .trial import Trial


class StartedError(GanCompressError):
    """A command that would train now."""


def recipe_trials(draw: Random, folder: Path) -> Iterator[tuple[str, Trial]]:
    """Yield mutated recipes with their reading."""
    file = folder / "recipe.yaml"

    def read() -> None:
        load_job(str(file))

    for text in mutations.recipes(draw):
        file.write_text(text, encoding="utf-8", errors="surrogatepass")
        yield text, read


def command_trials(draw: Random, folder: Path) -> Iterator[tuple[str, Trial]]:
    """Yield random command lines with their run, up to the start of a job, which may take minutes."""
    runner = CliRunner()
    os.chdir(folder)

    def run(line: list[str]) -> str | None:
        with patch.object(Pipeline, "run", side_effect=StartedError("a job starts")):
            error = runner.invoke(app, line).exception
        if isinstance(error, StartedError):
            return "starts a job"
        if error is not None and not isinstance(error, SystemExit):
            raise error
        return None

    for line in mutations.command_lines(draw, folder):
        yield repr(line), lambda line=line: run(line)


def run_trials(draw: Random, folder: Path) -> Iterator[tuple[str, Trial]]:
    """Yield run directories with damaged files, with a run of the same job in them."""
    config = {"ngf": 8, "num_blocks": 1}
    Generator.from_module(build("resnet", config), "resnet", config).save(folder / "given")
    recipe = {**RECIPE, "teacher": {"checkpoint": str(folder / "given")}}
    (folder / "own.yaml").write_text(json.dumps(recipe))
    job = load_job(str(folder / "own.yaml"))
    Pipeline(job, folder / "whole", lambda _: None).run()

    def run() -> None:
        Pipeline(job, folder / "run", lambda _: None).run()

    while True:
        shutil.rmtree(folder / "run", ignore_errors=True)
        shutil.copytree(folder / "whole", folder / "run")
        changed = [mutations.damage(folder / "run", draw) for _ in range(draw.choice((1, 1, 2, 5)))]
        yield "; ".join(changed), run
