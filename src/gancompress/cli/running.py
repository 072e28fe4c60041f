"""Runs of a job from the command line: progress, the result in tables, and the state of each step."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.table import Table

from gancompress.cli.display import watching
from gancompress.cli.options import console, notices
from gancompress.cli.processes import ran_in_processes

if TYPE_CHECKING:
    from gancompress.jobs.recipe import Job
    from gancompress.jobs.stages import Stage


def run_job(
    job: Job, directory: Path, *, tensorboard: bool = False, trust: bool = False, processes: int | None = None
) -> None:
    """Run a job, or what is left of it, and print its result; exit with status 1 if a file could not be written."""
    if ran_in_processes(processes):
        return
    from gancompress.cli.tables import cost_table, metric_table, text_table
    from gancompress.jobs.interruption import ending_at_once, until_asked_to_stop
    from gancompress.jobs.pipeline import Pipeline
    from gancompress.jobs.summary import summarise
    from gancompress.report import headline_lines, report_files
    from gancompress.report.write import write_report

    with watching(console) as watch, until_asked_to_stop(watch.say) as stop:
        pipeline = Pipeline(job, directory, watch.say, stop, show=watch.show, tensorboard=tensorboard, trust=trust)
        outcome = pipeline.run()
        if outcome is None:
            return
        with ending_at_once(stop):
            report = summarise(outcome, pipeline.inputs.example())
            write_report(report, directory)
    console.print(cost_table([("teacher", outcome.teacher.cost), ("compressed", outcome.compressed.cost)]))
    console.print(metric_table(outcome.teacher.metrics, outcome.compressed.metrics))
    if (files := report_files(report)) is not None:
        console.print(text_table(files), soft_wrap=True)
    for line in headline_lines(report):
        console.print(line, soft_wrap=True, markup=False)
    console.print(f"report: {directory / 'report.html'}", soft_wrap=True, markup=False)
    for doubt in outcome.doubts:
        notices.print(f"warning: {doubt}", soft_wrap=True, markup=False, highlight=False)
    for name, reason in outcome.files.failed.items():
        notices.print(f"{directory / 'exports' / name} was not written: {reason}", soft_wrap=True, markup=False)
    if outcome.files.failed:
        raise typer.Exit(1)


def show_stages(job: Job, directory: Path) -> None:
    """Print the effect that `compress` would have; raise if it cannot run."""
    from gancompress.jobs.pipeline import Pipeline

    stages = Pipeline(job, directory, notices.print).stages()
    sizes = "  ".join(f"{split} {len(job.data.open(split)):,}" for split in job.data.split_names())
    console.print(f"[bold]data[/bold]  {sizes}", highlight=False)
    table = Table("step", f"in {directory}", box=None)
    if job.teacher.shipped is not None:
        table.add_row("teacher", f"'{job.teacher.shipped.name}', which comes with gancompress")
    for stage in stages:
        table.add_row(stage.name, _in_words(stage))
    console.print(table)


def _in_words(stage: Stage) -> str:
    """Describe the state of a step."""
    words = {"done": "done", "begun": "begun: goes on", "new": "to do"}[stage.state]
    if stage.state == "done" or not stage.replaced:
        return words
    unused = ", ".join(directory.name for directory in stage.replaced)
    return f"{words}; the recipe or gancompress has changed since {unused}, which stays unused"
