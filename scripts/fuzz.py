"""Try mutated recipes, command lines and run directories: each must end in one short line, in bounded time.

python scripts/fuzz.py recipes 5000
python scripts/fuzz.py commands 1000
python scripts/fuzz.py runs 200
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from typer.testing import CliRunner

sys.path.insert(0, str(Path(__file__).parents[1]))

from gancompress.cli import app
from gancompress.errors import MAX_MESSAGE, GanCompressError
from gancompress.jobs.pipeline import Pipeline
from gancompress.jobs.recipe import load_job
from gancompress.networks.generator import Generator
from gancompress.networks.registry import build
from tests import fuzz
from tests.cli.test_jobs import RECIPE

Trial = Callable[[], object]


def recipe_trials(draw: random.Random, folder: Path) -> Iterator[tuple[str, Trial]]:
    """Yield mutated recipes with their reading."""
    file = folder / "recipe.yaml"
    for text in fuzz.recipes(draw):
        file.write_text(text, encoding="utf-8", errors="surrogatepass")
        yield text, lambda: load_job(str(file))


def command_trials(draw: random.Random, folder: Path) -> Iterator[tuple[str, Trial]]:
    """Yield random command lines with their run."""
    runner = CliRunner()

    def run(line: list[str]) -> None:
        error = runner.invoke(app, line).exception
        if error is not None and not isinstance(error, SystemExit | OSError):
            raise error

    for line in fuzz.command_lines(draw, folder):
        yield repr(line), lambda line=line: run(line)


def run_trials(draw: random.Random, folder: Path) -> Iterator[tuple[str, Trial]]:
    """Yield run directories with damaged files, with a run of the same job in them."""
    config = {"ngf": 8, "num_blocks": 1}
    Generator.from_module(build("resnet", config), "resnet", config).save(folder / "given")
    recipe = {**RECIPE, "teacher": {"checkpoint": str(folder / "given")}}
    (folder / "own.yaml").write_text(json.dumps(recipe))
    job = load_job(str(folder / "own.yaml"))
    Pipeline(job, folder / "whole", lambda _: None).run()
    while True:
        shutil.rmtree(folder / "run", ignore_errors=True)
        shutil.copytree(folder / "whole", folder / "run")
        changed = [fuzz.damage(folder / "run", draw) for _ in range(draw.choice((1, 1, 2, 5)))]
        yield "; ".join(changed), lambda: Pipeline(job, folder / "run", lambda _: None).run()


TRIALS = {"recipes": recipe_trials, "commands": command_trials, "runs": run_trials}


def main() -> None:
    """Print counts, and every failure with what caused it; exit status 1 if there are any."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=TRIALS)
    parser.add_argument("count", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=60.0, help="stop after so many minutes")
    arguments = parser.parse_args()
    torch.manual_seed(arguments.seed)
    ended: Counter[str] = Counter()
    longest, slowest, began = 0, 0.0, time.monotonic()
    with TemporaryDirectory() as folder:
        trials = TRIALS[arguments.kind](random.Random(arguments.seed), Path(folder))
        for _, (what, trial) in zip(range(arguments.count), trials, strict=False):
            if time.monotonic() - began > 60 * arguments.minutes:
                break
            start = time.process_time()
            try:
                trial()
                ended["fine"] += 1
            except GanCompressError as error:
                longest = max(longest, len(str(error)))
                kind = (
                    "a line"
                    if len(str(error)) <= MAX_MESSAGE and str(error).isprintable()
                    else "A LONG OR UNPRINTABLE LINE"
                )
                ended[kind] += 1
            except OSError:
                ended["an error of the system, in one line"] += 1
            except Exception:
                ended["A TRACEBACK"] += 1
                print(f"--- {what[:1500]}\n{traceback.format_exc()[-1500:]}")
            slowest = max(slowest, time.process_time() - start)
    print(", ".join(f"{name}: {count}" for name, count in ended.items()))
    print(f"longest message {longest} characters, slowest {slowest:.2f} s of processor time")
    sys.exit(any(name.isupper() for name in ended))


if __name__ == "__main__":
    main()
