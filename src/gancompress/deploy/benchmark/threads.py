"""Timing in turns, with the number of threads that suits each network best."""

from __future__ import annotations

import statistics
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import torch

from gancompress.deploy.benchmark.workers import Task, Turns, Worker, flat, take_turns, workers

Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True)
class BestTurns(Generic[Key]):
    """Times of networks in turns, each with its best number of threads.

    Attributes:
        threads: Number of threads of each.
        turns: The times.
    """

    threads: dict[Key, int]
    turns: Turns[Key]


def thread_counts(threads: int | None) -> tuple[int, ...]:
    """Return the numbers of threads to compare: the given one, or else one thread and all that PyTorch has here.

    A small network is often faster on one thread, because its operators are shorter than the synchronisation.
    """
    return (threads,) if threads is not None else tuple(sorted({1, torch.get_num_threads()}))


def at_thread_counts(tasks: Mapping[Key, Task], threads: int | None) -> dict[tuple[Key, int], Task]:
    """Return the tasks with each number of threads to compare, see `thread_counts`."""
    counts = thread_counts(threads)
    return {(key, count): replace(task, threads=count) for key, task in tasks.items() for count in counts}


def time_in_turns(
    tasks: Mapping[Key, Task],
    threads: int | None,
    rounds: int,
    runs: int,
    beside: Mapping[tuple[Key, int], Worker] | None = None,
) -> BestTurns[Key]:
    """Time networks in turns, each in a process of its own and with its best number of threads.

    If several numbers of threads are compared, a third of the rounds, at least two, is run beforehand to choose them:
    those times are not part of the result. Then all times are of the wall clock, because processor time says nothing
    about how well threads share the work.

    Args:
        tasks: Networks; their own number of threads is ignored.
        threads: Number of threads of all; None chooses for each network.
        rounds: Turns of each network.
        runs: Timed runs in a turn.
        beside: Workers of `at_thread_counts` that run already, and take part.

    Raises:
        ExportError: A runtime refuses a network.
    """
    counts = thread_counts(threads)
    with workers(at_thread_counts(tasks, threads)) as started:
        processes = {**(beside or {}), **started}
        best = {key: counts[0] for key, _ in processes}
        if len(counts) > 1:
            trial = take_turns(processes, None, max(2, rounds // 3), runs)
            medians = {each: statistics.median(flat(times)) for each, times in trial.times_ms.items()}
            best = {key: min(counts, key=lambda count, key=key: medians[key, count]) for key in best}
        alike = counts[0] if len(counts) == 1 else None
        return BestTurns(best, take_turns({key: processes[key, best[key]] for key in best}, alike, rounds, runs))
