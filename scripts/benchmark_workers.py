"""Measure a search that processes share through PostgreSQL: candidates per second, and what killed processes cost.

python scripts/benchmark_workers.py --workers 1 2 4 8 --seconds 0.5
python scripts/benchmark_workers.py --workers 8 --kill 4

Without --storage it starts a server of its own. Evaluations sleep, so that the figures are of the storage and the
claims, not of this machine's cores.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from contextlib import nullcontext
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from gancompress.architecture_search import without_password
from tests.architecture_search import postgresql
from tests.architecture_search.problems import PROCESSES, evaluated, logged, work


def worker(settings: dict, url: str, folder: Path, number: int, seconds: float, begin) -> None:
    """Take part in the search; write what was evaluated, and the result."""
    work({**settings, "num_candidates": 1}, url, name=f"{folder.name} warm-up")
    begin.wait(300)
    result = work(settings, url, logged(folder / f"log{number}", seconds), name=folder.name)
    (folder / f"result{number}").write_text(result.to_json())


def measured(url: str, num_workers: int, kill: int, seconds: float, settings: dict, draw: random.Random) -> str:
    """Run one shared search; return a line of the table. Raise AssertionError if a candidate is lost or doubled."""
    alone = json.loads(work(settings, None).to_json())
    with tempfile.TemporaryDirectory() as name:
        folder, begin = Path(name), PROCESSES.Barrier(num_workers + 1)
        call = partial(PROCESSES.Process, target=worker)
        processes = [call(args=(settings, url, folder, i, seconds, begin)) for i in range(num_workers)]
        for process in processes:
            process.start()
        begin.wait(300)
        began = time.perf_counter()
        for number in draw.sample(range(num_workers), kill):
            time.sleep(draw.uniform(0.2, 1.0) * seconds)
            processes[number].kill()
        for process in processes:
            process.join()
        took = time.perf_counter() - began
        done = [plan for number in range(num_workers) for plan in evaluated(folder / f"log{number}")]
        plans = [candidate["plan"] for candidate in alone["candidates"]]
        results = [json.loads(path.read_text()) for path in folder.glob("result*")]
        assert sorted(done) == sorted(plans), "a candidate was lost or evaluated twice"
        assert results, "every process was killed"
        assert all(result == alone for result in results), "the result differs from that of one process"
    rate, ideal = len(plans) / took, (num_workers - kill) / seconds
    return f"| {num_workers} | {kill} | {len(plans)} | {took:.1f} | {rate:.2f} | {100 * rate / ideal:.0f} % |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--kill", type=int, default=0, help="processes to kill at random")
    parser.add_argument("--seconds", type=float, default=0.5, help="seconds of an evaluation")
    parser.add_argument("--candidates", type=int, default=48)
    parser.add_argument("--population", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--storage", metavar="URL", help="a database; by default a server of its own")
    options = parser.parse_args()
    if options.storage is None and (reason := postgresql.missing()) is not None:
        parser.error(reason)
    settings = {"method": "evolutionary", "num_candidates": options.candidates, "population": options.population}
    draw = random.Random(options.seed)
    with postgresql.server() if options.storage is None else nullcontext(options.storage) as url:
        print(without_password(url))
        print("| processes | killed | candidates | seconds | candidates/s | of the ideal |\n|---|---|---|---|---|---|")
        for num_workers in options.workers:
            print(measured(url, num_workers, options.kill, options.seconds, settings, draw), flush=True)


if __name__ == "__main__":
    main()
