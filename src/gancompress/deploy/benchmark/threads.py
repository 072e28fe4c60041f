"""Timing in turns, with the number of threads that suits each network best."""

from __future__ import annotations

import statistics
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

import torch

from gancompress.deploy.benchmark.workers import Task, workers

Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True)
class Turns:
    """Times of one network, taken in turns with those of others.

    Attributes:
        threads: Number of threads.
        times_ms: Milliseconds of the runs of each round.
    """

    threads: int
    times_ms: list[list[float]]

    def flat(self) -> list[float]:
        """Return the milliseconds of all runs."""
        return [time for turn in self.times_ms for time in turn]


def thread_counts(threads: int | None) -> tuple[int, ...]:
    """Return the numbers of threads to compare: the given one, or else one thread and all that PyTorch has here.

    A small network is often faster on one thread, because its operators are shorter than the synchronisation.
    """
    return (threads,) if threads is not None else tuple(sorted({1, torch.get_num_threads()}))


def time_in_turns(tasks: Mapping[Key, Task], threads: int | None, rounds: int, runs: int) -> dict[Key, Turns]:
    """Time networks in turns, each in a process of its own and with its best number of threads.

    If several numbers of threads are compared, a third of the rounds, at least two, is run beforehand to choose them:
    those times are not part of the result.

    Args:
        tasks: Networks; their own number of threads is ignored.
        threads: Number of threads of all; None chooses for each network.
        rounds: Turns of each network.
        runs: Timed runs in a turn.

    Raises:
        ExportError: A runtime refuses a network.
    """
    counts = thread_counts(threads)
    every = {(key, count): replace(task, threads=count) for key, task in tasks.items() for count in counts}
    with workers(every) as processes:
        best = dict.fromkeys(tasks, counts[0])
        if len(counts) > 1:
            trial = [
                {each: worker.times(runs) for each, worker in processes.items()} for _ in range(max(2, rounds // 3))
            ]
            medians = {each: statistics.median(time for turn in trial for time in turn[each]) for each in processes}
            best = {key: min(counts, key=lambda count, key=key: medians[key, count]) for key in tasks}
        turns = [{key: processes[key, best[key]].times(runs) for key in tasks} for _ in range(rounds)]
    return {key: Turns(best[key], [turn[key] for turn in turns]) for key in tasks}
