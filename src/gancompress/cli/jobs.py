"""Verbs around jobs: a teacher alone, the quickstart, a finished run measured again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from gancompress.cli.display import watching
from gancompress.cli.options import (
    JsonOption,
    ProcessesOption,
    Recipe,
    RecipeOption,
    RunDirectory,
    TensorBoardOption,
    ThreadsOption,
    TrainTeacherOption,
    TrustOption,
    console,
    threads_option,
)
from gancompress.cli.processes import ran_in_processes
from gancompress.cli.running import run_job


def train(
    recipe: Recipe,
    options: RecipeOption = [],  # noqa: B006
    out: RunDirectory = None,
    tensorboard: TensorBoardOption = False,
    threads: ThreadsOption = None,
    processes: ProcessesOption = None,
    trust: TrustOption = False,
) -> None:
    """Train a recipe's teacher alone. The same command resumes, and `compress` goes on from it.

    If the recipe's teacher is shipped with gancompress, give `compress --train-teacher` instead.
    """
    from gancompress.jobs.interruption import until_asked_to_stop
    from gancompress.jobs.pipeline import Pipeline
    from gancompress.jobs.recipe import load_job

    job = load_job(recipe, [*options, *threads_option(threads)], train_teacher=True)
    directory = out or Path("runs", job.name)
    if ran_in_processes(processes):
        return
    with watching(console) as watch, until_asked_to_stop(watch.say) as stop:
        Pipeline(job, directory, watch.say, stop, show=watch.show, tensorboard=tensorboard, trust=trust).teacher()
    console.print(f"written to {directory / 'teacher'}", soft_wrap=True, markup=False)


def search_worker(
    run: Annotated[Path, typer.Argument(help="A run directory whose search goes on, or a copy of it.")],
    storage: Annotated[
        str | None,
        typer.Option(
            "--storage",
            metavar="URL",
            help="The search's database, by default the recipe's; its password may also be in PGPASSWORD.",
        ),
    ] = None,
    threads: ThreadsOption = None,
    trust: TrustOption = False,
) -> None:
    """Evaluate candidates of a run's search, beside `compress` and other workers, on this machine or another."""
    from gancompress.jobs.interruption import until_asked_to_stop
    from gancompress.jobs.recipe import load_job
    from gancompress.jobs.search_worker import take_part_in_search

    job = load_job(str(existing_job(run)), threads_option(threads), trust=trust)
    with watching(console) as watch, until_asked_to_stop(watch.say) as stop:
        total = take_part_in_search(job, run, watch.say, stop, storage=storage, show=watch.show, trust=trust)
    console.print(f"the search is done: {total} candidates", highlight=False)


def quickstart(out: RunDirectory = None, train_teacher: TrainTeacherOption = False) -> None:
    """Compress a small generator on data that is drawn on the spot: minutes on two CPU cores, no download."""
    from gancompress.jobs.recipe import load_job

    job = load_job("quickstart", train_teacher=train_teacher)
    run_job(job, out or Path("runs", job.name))


def evaluate(
    run: Annotated[Path, typer.Argument(help="A finished run directory.")],
    split: Annotated[str, typer.Option(help="The split of the run's data to measure on.")] = "test",
    options: RecipeOption = [],  # noqa: B006
    of_teacher: Annotated[bool, typer.Option("--teacher", help="Measure its teacher, too.")] = False,
    into_report: Annotated[
        bool,
        typer.Option("--report", help="Add the metrics on test to the run's report, and draw its pictures again."),
    ] = False,
    trust: TrustOption = False,
    as_json: JsonOption = False,
) -> None:
    """Measure the network of a finished run again, on another split or with other metrics (--set metrics...)."""
    from gancompress.cli.tables import cost_json, cost_table, latency_table
    from gancompress.errors import ConfigError
    from gancompress.jobs.finished import FinishedRun
    from gancompress.jobs.measuring import cost_of
    from gancompress.jobs.recipe import load_job
    from gancompress.jobs.summary import RUNTIME, add_to_report, latencies
    from gancompress.networks.given import sizes
    from gancompress.report.write import write_report

    description = existing_job(run)
    if into_report and split != "test":
        raise ConfigError(f"--report: got split '{split}', expected test, which the report is about; leave one out")
    finished = FinishedRun(load_job(str(description), options, trust=trust), run, trust)
    measured, teacher = finished.evaluate(split), finished.work.teacher
    both = {"compressed": measured} | ({"teacher": finished.evaluate(split, "teacher")} if of_teacher else {})
    if into_report:
        write_report(add_to_report(run, both, finished.pictures()), run)
    example = finished.inputs.example()
    costs = {"teacher": cost_of(teacher, finished.inputs), "compressed": measured.cost}
    times = dict(zip(costs, latencies((teacher, measured.generator), example), strict=True))
    shape = sizes(example)
    if as_json:
        metrics = {name: result.to_json() for name, result in measured.metrics.items()}
        networks = {
            name: {**cost_json(costs[name]), "latency_ms": {"runtime": RUNTIME, **vars(times[name])}} for name in costs
        }
        if of_teacher:
            networks["teacher"]["metrics"] = {n: r.to_json() for n, r in both["teacher"].metrics.items()}
        print(json.dumps({"split": split, "input_size": shape, "metrics": metrics, **networks}, indent=2))
        return
    for network, found in both.items():
        for name, result in found.metrics.items():
            figures = f"{network if of_teacher else ''} {name}{str(result).removeprefix(result.name)}".strip()
            console.print(f"{figures}  [dim]{result.protocol}[/dim]", highlight=False, soft_wrap=True)
    console.print(cost_table(list(costs.items())))
    console.print(latency_table(list(times.items()), RUNTIME, shape))


def existing_job(run: Path) -> Path:
    """Return the path of the job of a run directory. Raises ConfigError if there is none."""
    from gancompress.errors import ConfigError

    if not (run / "job.yaml").is_file():
        raise ConfigError(f"{run}: found no job.yaml, expected a run directory of compress")
    return run / "job.yaml"
