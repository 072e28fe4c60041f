"""A synthetic search problem, and processes that work on it."""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from gancompress.architecture_search import Objective, SearchOptions, SearchResult, SearchSpace, search
from gancompress.channels import ChannelPlan, Slot

FID = Objective(metric="fid")
PROCESSES = multiprocessing.get_context("forkserver")
# What Optuna imports for a database takes a second, in each process that has not been forked with it.
PROCESSES.set_forkserver_preload(
    [__name__, "optuna.storages._rdb.storage", "sqlalchemy.dialects.postgresql.psycopg", "psycopg"]
)


def make_space(choices: Sequence[tuple[int, ...]]) -> SearchSpace:
    """Each slot sets the one group of its number; another group is fixed."""
    slots = tuple(Slot(f"c{i}", (f"group{i}",)) for i in range(len(choices)))
    return SearchSpace(slots, tuple(choices), {"fixed": 3})


SMALL = make_space([(8, 16, 24)] * 4)
BY_8 = tuple(range(16, 72, 8))
LARGE = make_space([BY_8] * 8)


def cost(plan: ChannelPlan) -> float:
    widths = list(plan.widths.values())
    return float(sum(a * b for a, b in pairwise(widths)))


def distance(plan: ChannelPlan) -> dict[str, float]:
    """Separable: each group has a best width of its own, and widths beside it cost by the square."""
    free = [width for group, width in plan.widths.items() if group != "fixed"]
    return {"fid": float(sum((i + 1) * (width - BY_8[i * 5 % 7]) ** 2 for i, width in enumerate(free)))}


def work(
    options: dict[str, Any],
    storage: Path | str | None,
    evaluate: Callable[[ChannelPlan], dict[str, float]] = distance,
    name: str = "search",
) -> SearchResult:
    """A search of the small space, the same call for every process."""
    return search(
        SMALL,
        cost,
        900.0,
        evaluate,
        FID,
        SearchOptions(**{"budget_tolerance": 1.0, **options}),
        storage=storage,
        seed=3,
        name=name,
    )


def evaluated(log: Path) -> list[str]:
    """The plans that `logged` wrote down."""
    return log.read_text().split() if log.exists() else []


def logged(log: Path, seconds: float = 0.0, before: Callable[[int], None] = lambda _: None):
    """An evaluation that writes down each plan that it finishes. ``before`` gets the number of those before it."""
    count = 0

    def evaluate(plan: ChannelPlan) -> dict[str, float]:
        nonlocal count
        before(count)
        time.sleep(seconds)
        count += 1
        with log.open("a") as file:
            file.write("_".join(str(width) for group, width in plan.widths.items() if group != "fixed") + "\n")
        return distance(plan)

    return evaluate


def work_and_die(options: dict[str, Any], storage: Path, log: Path, after: int) -> None:
    """Killed while it evaluates candidate number ``after``."""

    def die(count: int) -> None:
        if count == after:
            os.kill(os.getpid(), signal.SIGKILL)

    work(options, storage, logged(log, before=die))


def work_until_the_disk_is_full(options: dict[str, Any], storage: Path, after: int) -> None:
    """From candidate number ``after`` on, no file may grow by more than a few bytes."""

    def fill(count: int) -> None:
        if count == after:
            resource.setrlimit(resource.RLIMIT_FSIZE, (storage.stat().st_size + 20, resource.RLIM_INFINITY))

    try:
        work(options, storage, logged(Path(os.devnull), before=fill))
    except OSError:
        os._exit(28)


def work_together(
    options: dict[str, Any], storage: Path | str, log: Path, results: Path, both: Any, die_after: int
) -> None:
    """One of several processes, which begin at the same time."""

    def die(count: int) -> None:
        if count == die_after:
            os.kill(os.getpid(), signal.SIGKILL)

    both.wait(60)
    result = work(options, storage, logged(log, 0.05, die))
    results.write_text(result.to_json())
