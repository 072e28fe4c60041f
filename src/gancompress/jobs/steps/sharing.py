"""Storage and name of a job's search, by which its processes find one another, and how each of them reports."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TypedDict

from gancompress.architecture_search import SearchResult
from gancompress.jobs.steps.costs import check_stop
from gancompress.jobs.steps.step import StepRun
from gancompress.methods.best_plan import STORAGE_FILE, CheckStop, Report
from gancompress.methods.candidates import Candidates


class Shared(TypedDict):
    """Arguments of `best_plan` and `evaluated` that all processes of one search agree on, and how this one reports."""

    storage: Path | str
    name: str
    seed: int
    progress: Report
    check_stop: CheckStop


def shared(storage: str | None, candidates: Candidates, run: StepRun) -> Shared:
    """Return what the processes of a search agree on.

    Args:
        storage: URL of a database; by default a journal in the step's directory. In a database the search bears the
            name of its step and a digest of its weights.
        candidates: The candidates.
        run: Run of the step.
    """
    return {
        "storage": run.directory / STORAGE_FILE if storage is None else storage,
        "name": "search" if storage is None else f"{run.directory.name} {candidates.digest}",
        "seed": run.seed,
        "progress": partial(_report, run),
        "check_stop": partial(check_stop, run),
    }


def _report(run: StepRun, found: SearchResult, total: int) -> None:
    if run.is_main:
        metric = found.objective.metric
        best = {} if found.best is None else {metric: found.best.metrics[metric]}
        run.log.searched(len(found.candidates), total, best)
