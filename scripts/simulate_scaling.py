"""Say on paper what one step, one search and one export cost with many workers, and where that stops scaling.

python scripts/simulate_scaling.py search --workers 1 8 64 512 --candidates 1024 --population 256 --seconds 60
python scripts/simulate_scaling.py step --workers 1 8 64 512 --batch 64 --image-ms 20 --gradient-mb 57
python scripts/simulate_scaling.py export --workers 1 8 64 512 --hours 24 --minutes 10

The search is simulated event by event with the rules of `gancompress.architecture_search`: processes read the state,
claim a free plan, spread after a lost claim, and wait for the whole earlier generation. The database serves one call
after the other. Times of calls are arguments, because they are those of a machine; --measure takes them from a
PostgreSQL server that it starts.
"""

from __future__ import annotations

import argparse
import heapq
import math
import random
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice, pairwise
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from gancompress.architecture_search.crowd import Crowd
from tests.architecture_search import postgresql


@dataclass
class Simulation:
    """One search; times in seconds.

    Attributes:
        workers: Number of processes.
        candidates: Number of candidates.
        population: Candidates of a generation.
        seconds: Mean time of an evaluation.
        spread: Standard deviation of the logarithm of that time.
        read: Time in which the database returns the state.
        claim: Time in which it takes a claim and answers.
        finish: Time in which it takes a result.
    """

    workers: int
    candidates: int
    population: int
    seconds: float
    spread: float
    read: float
    claim: float
    finish: float
    draw: random.Random = field(default_factory=lambda: random.Random(0))

    def __post_init__(self) -> None:
        self.taken: set[int] = set()
        self.done: set[int] = set()
        self.free_at = 0.0  # the database
        self.lost_claims = 0

    def run(self) -> tuple[float, int]:
        """Return the time of the last result, and the number of lost claims."""
        waiting = [(0.0, number, self._work()) for number in range(self.workers)]
        now = 0.0
        while waiting and len(self.done) < self.candidates:
            now, number, work = heapq.heappop(waiting)
            self.now = now
            if (until := next(work, None)) is not None:
                heapq.heappush(waiting, (until, number, work))
        return now, self.lost_claims

    def _served(self, seconds: float) -> float:
        """Return when the database has served a call that comes now."""
        self.free_at = max(self.now, self.free_at) + seconds
        return self.free_at

    def _work(self) -> Iterator[float]:
        """Yield the times at which a process goes on."""
        crowd = Crowd(self.draw)
        while True:
            yield self._served(self.read)
            crowd.seen(len(self.taken) - len(self.done))
            skip = crowd.skip()
            free = self._free(skip + 1)
            if not free:
                if len(self.taken) == self.candidates:
                    return
                yield self.now + crowd.pause_s()
                continue
            index = free[skip % len(free)]
            yield self._served(self.claim)
            if index in self.taken:
                self.lost_claims += 1
                crowd.claimed(False)
                continue
            crowd.claimed(True)
            self.taken.add(index)
            yield self.now + self.seconds * self.draw.lognormvariate(-(self.spread**2) / 2, self.spread)
            yield self._served(self.finish)
            self.done.add(index)

    def _free(self, count: int) -> list[int]:
        """Return the first free candidates of the generation that has begun."""
        first = len(self.done) // self.population * self.population
        free = (each for each in range(first, min(first + self.population, self.candidates)) if each not in self.taken)
        return list(islice(free, count))


def search(options: argparse.Namespace) -> None:
    """Print a table of a shared search."""
    times = _measured() if options.measure else (options.read_ms, options.claim_ms, options.finish_ms)
    read, claim, finish = (each / 1000 for each in times)
    print("calls of the database: " + ", ".join(f"{each:.1f} ms" for each in times))
    print("| workers | seconds | candidates/s | of the ideal | lost claims |\n|---|---|---|---|---|")
    for workers in options.workers:
        given = workers, options.candidates, options.population, options.seconds, options.spread
        took, lost = Simulation(*given, read, claim, finish).run()
        rate = options.candidates / took
        share = rate * options.seconds / workers
        print(f"| {workers} | {took:,.0f} | {rate:.2f} | {100 * share:.0f} % | {lost:,} |")


def _measured(calls: int = 40) -> tuple[float, float, float]:
    """Return the fewest milliseconds of a read, a claim and a result on a PostgreSQL server of this machine."""
    from gancompress.architecture_search import SearchOptions
    from gancompress.architecture_search.storage import opened, quiet
    from gancompress.architecture_search.trials import TrialLog
    from tests.architecture_search.problems import FID, LARGE

    times: dict[str, list[float]] = {"read": [], "claim": [], "finish": []}
    draw = random.Random(0)
    with postgresql.server() as url, opened(url) as storage, quiet():
        log = TrialLog(storage, "scaling", LARGE, FID, SearchOptions(num_candidates=calls), {})
        for index in range(calls):
            values = tuple(draw.choice(choices) for choices in LARGE.choices)
            moments = [time.perf_counter()]
            log.read()
            moments.append(time.perf_counter())
            claim = log.claim(index, values, 1.0)
            assert claim is not None
            moments.append(time.perf_counter())
            log.finish(claim, {"fid": 1.0}, {})
            moments.append(time.perf_counter())
            for each, (begun, ended) in zip(times.values(), pairwise(moments), strict=True):
                each.append(1000 * (ended - begun))
    read, claim, finish = (min(each) for each in times.values())
    return read, claim, finish


def step(options: argparse.Namespace) -> None:
    """Print a table of a training step whose batch is divided, by a ring for gradients and a tree for scalars."""
    print("| workers | images each | compute ms | gradients ms | scalars ms | images/s | of the ideal |")
    print("|---|---|---|---|---|---|---|")
    alone = options.batch * options.image_ms
    for workers in options.workers:
        batch = max(options.batch, workers) if options.grow is None else options.grow * workers
        each = math.ceil(batch / workers)
        compute = each * options.image_ms
        ring = 2 * (workers - 1) / workers * options.gradient_mb * 8 / (1000 * options.gbit) * 1000
        ring += 2 * (workers - 1) * options.latency_us / 1000 * (workers > 1)
        scalars = options.scalars * 2 * math.ceil(math.log2(workers)) * options.latency_us / 1000
        total = compute + ring + scalars
        rate, ideal = 1000 * batch / total, 1000 * workers * options.batch / alone
        row = f"{workers} | {each} | {compute:.0f} | {ring:.1f} | {scalars:.2f} | {rate:,.0f}"
        print(f"| {row} | {100 * rate / ideal:.0f} % |")


def export(options: argparse.Namespace) -> None:
    """Print a table of a job whose exports and measurements one process does, after the others have ended."""
    print("| workers | hours | of them for files and report | of the ideal |\n|---|---|---|---|")
    for workers in options.workers:
        hours = options.hours / workers + options.minutes / 60
        print(
            f"| {workers} | {hours:.2f} | {100 * options.minutes / 60 / hours:.0f} % "
            f"| {100 * (options.hours + options.minutes / 60) / workers / hours:.0f} % |"
        )


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = parser.add_subparsers(required=True)
    for name, run in (("search", search), ("step", step), ("export", export)):
        kind = kinds.add_parser(name, help=run.__doc__)
        kind.set_defaults(run=run)
        kind.add_argument("--workers", type=int, nargs="+", default=[1, 8, 64, 512])
        for option, default, text in OPTIONS[name]:
            kind.add_argument(option, type=type(default), default=default, help=f"{text}; {default} by default")
    kinds.choices["search"].add_argument("--measure", action="store_true", help="time the calls on PostgreSQL first")
    kinds.choices["step"].add_argument("--grow", type=int, help="images of each worker, so that the batch grows")
    options = parser.parse_args()
    if getattr(options, "measure", False) and (reason := postgresql.missing()) is not None:
        parser.error(reason)
    options.run(options)


OPTIONS = {
    "search": (
        ("--candidates", 1024, "candidates"),
        ("--population", 256, "candidates of a generation"),
        ("--seconds", 60.0, "mean seconds of an evaluation"),
        ("--spread", 0.1, "standard deviation of the logarithm of that time"),
        ("--read-ms", 5.0, "milliseconds in which the database returns the state"),
        ("--claim-ms", 20.0, "milliseconds in which it takes a claim"),
        ("--finish-ms", 10.0, "milliseconds in which it takes a result"),
    ),
    "step": (
        ("--batch", 64, "images of a step"),
        ("--image-ms", 20.0, "milliseconds of one image in one worker, forward and backward"),
        ("--gradient-mb", 57.0, "megabytes of the gradients of all networks"),
        ("--gbit", 100.0, "gigabits per second between neighbours"),
        ("--latency-us", 20.0, "microseconds of one message"),
        ("--scalars", 5, "numbers that all agree on in a step"),
    ),
    "export": (
        ("--hours", 24.0, "hours of training and search in one process"),
        ("--minutes", 10.0, "minutes of measuring, exporting and reporting"),
    ),
}


if __name__ == "__main__":
    main()
