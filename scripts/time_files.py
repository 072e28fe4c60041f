"""Time the files of a run in turns beside its original network in PyTorch eager, and print one table in Markdown.

    gancompress export RUN --format all --threads 1 --out FOLDER
    python scripts/time_files.py RUN FOLDER [--teacher-files FOLDER] [--size HxW] [--rounds N] [--trust-code]

All take turns, one thread each, in processor time, so that files which were written beside other work can be timed on
a quieter machine. Beside the factor to the original it prints that to the float32 file of the same format, and to the
file of the same name among those of the teacher, if it was exported, too (`gancompress export RUN/teacher ...`).
Factors are medians of the same turns, with quartiles.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path

from gancompress.cli.calibration import calibration_inputs
from gancompress.cli.sources import InputChoices, job_of, open_network
from gancompress.deploy import Mode
from gancompress.deploy.axes import at_batch
from gancompress.deploy.benchmark import Task, ratio
from gancompress.deploy.benchmark.threads import time_in_turns
from gancompress.deploy.contract import from_text
from gancompress.deploy.runtimes.registry import open_file, runtime_of, size_on_disk
from gancompress.report.wording import compact

ORIGINAL = Path("original")
Times = dict[Path, list[list[float]]]


def files_of(folder: Path, trust: bool) -> dict[Path, Mode]:
    """Return the files of a folder that run here, and the mode that runs each in its precision."""
    found: dict[Path, Mode] = {}
    for path in sorted(folder.iterdir()):
        runtime = runtime_of(path)
        if runtime is None or (runtime.runs_code and not trust):
            continue
        precision = from_text(open_file(path).metadata).get("precision", "fp32")
        modes = [each for each in runtime.modes if path.suffix in each.endings and not runtime.unavailable(each)]
        best = [each for each in modes if each.precision == precision] or modes
        found |= {path: best[0]} if best else {}
    return found


def float32_of(path: Path) -> Path:
    """Return the path of the float32 file of the same format."""
    words = [each for each in path.name.split(".") if each not in ("int8", "bf16", "fp16")]
    return path.with_name(".".join(words))


def factor(slow: Path | None, fast: Path, times: Times) -> str:
    """Return how many times faster one is, with quartiles; empty where the other was not timed."""
    if slow is None or slow == fast or slow not in times:
        return ""
    middle, low, high = ratio(times[slow], times[fast])
    return f"{middle:.3g} ({low:.3g} to {high:.3g})"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--teacher-files", type=Path)
    parser.add_argument("--size")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--trust-code", action="store_true")
    given = parser.parse_args()
    job = job_of([str(given.run)], given.trust_code)
    choices = InputChoices(size=given.size, trust=given.trust_code)
    network = open_network("network", str(given.run), job, choices)
    inputs = network.form.inputs
    if given.size is None:
        inputs = calibration_inputs(network, None, given.run, job, num_images=4)[0]
    teacher = given.run / "teacher"
    tasks = {ORIGINAL: Task("eager", teacher if teacher.is_dir() else given.run, at_batch(network.example, 1), 1)}
    folders = [given.folder, *([given.teacher_files] if given.teacher_files else [])]
    for path, mode in [each for folder in folders for each in files_of(folder, given.trust_code).items()]:
        tasks[path] = Task(mode.name, path, at_batch(inputs, 1), 1)
    turns = time_in_turns(tasks, 1, given.rounds, 3).turns
    assert turns.processor_time
    print("| file | size | ms | than the original | than float32 | than the teacher's file |")
    print("|---|---|---|---|---|---|")
    for path, times in turns.times_ms.items():
        of_teacher = given.teacher_files if path.parent == given.folder else None
        cells = (
            str(path.name) if path.parent != given.teacher_files else f"teacher's {path.name}",
            "" if path == ORIGINAL else compact(size_on_disk(path), "B"),
            f"{statistics.median(ms for turn in times for ms in turn):.3g}",
            factor(ORIGINAL, path, turns.times_ms),
            factor(float32_of(path), path, turns.times_ms),
            factor(of_teacher and of_teacher / path.name, path, turns.times_ms),
        )
        print(f"| {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
