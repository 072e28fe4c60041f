"""Exported files are timed beside the original network, in turns and with the number of threads that suits each."""

from __future__ import annotations

import statistics
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from gancompress.deploy import ExportReport, export_generator
from gancompress.deploy.benchmark import Task, files, threads, time_files
from gancompress.deploy.benchmark.threads import time_in_turns
from gancompress.deploy.runtimes import coreml_runtime, runtime
from gancompress.deploy.runtimes.timed import RunTimes
from gancompress.errors import ExportError
from tests.deploy.benchmark.in_process import workers_as_threads
from tests.deploy.benchmark.networks import network

EXAMPLE = torch.zeros(1, 3, 16, 16)


def report(name: str, precision: str = "fp32") -> ExportReport:
    return ExportReport(path=Path(name), format="x", file_bytes=1, cases=(), precision=precision)


class Clock:
    """A process that answers with times of its own choice: a second thread helps only what takes long."""

    def __init__(self, task: Task, factor: float) -> None:
        one = task.threads == 1
        self._factor = factor * (2 if one else 1) if factor > 2 else factor * (0.5 if one else 1)
        self._round = 0
        self._busy = task.path.name == "busy.onnx"

    def times(self, num_runs: int) -> RunTimes:
        self._round += 1
        wall = self._factor * self._round  # a machine that becomes slower for all
        waited = 0.8 * wall * num_runs if self._busy else 0.0
        return RunTimes([wall] * num_runs, [self._factor] * num_runs, waited)


@pytest.fixture
def tasks(monkeypatch) -> list[Task]:
    """What is timed, without processes: eager takes 12 ms, onnxruntime 3, OpenVINO 2 and in bf16 1.5."""
    seen: list[Task] = []
    factors = {"eager": 12.0, "onnxruntime": 3.0, "openvino": 2.0, "openvino_bf16": 1.5}

    @contextmanager
    def clocks(tasks):
        seen.extend(tasks.values())
        yield {key: Clock(task, factors[task.runtime]) for key, task in tasks.items()}

    for module in (files, threads):
        monkeypatch.setattr(module, "workers", clocks)
    monkeypatch.setattr(runtime, "find_spec", lambda package: object())
    return seen


def test_files_are_compared_with_the_original_turn_by_turn(tasks):
    exports = [report("a.onnx", "int8"), report("b.xml"), report("c.xml", "bf16"), report("d.pt2")]
    speeds = time_files(Path("teacher"), (EXAMPLE,), exports, (EXAMPLE,), rounds=3, runs=2, threads=3)
    assert [task.runtime for task in tasks] == ["eager", "onnxruntime", "openvino", "openvino_bf16", "eager"]
    assert tasks[0].path == Path("teacher")
    assert {task.threads for task in tasks} == {3}
    found = {path.name: (speed.runtime, speed.faster, speed.threads) for path, speed in speeds.items()}
    assert found == {
        "a.onnx": ("onnxruntime", 4.0, 3),
        "b.xml": ("OpenVINO", 6.0, 3),
        "c.xml": ("OpenVINO", 8.0, 3),
        "d.pt2": ("PyTorch, exported program", 1.0, 3),
    }
    speed = speeds[Path("a.onnx")]
    assert (speed.faster_low, speed.faster_high) == (4.0, 4.0)  # the machine became slower for both alike
    assert speed.time_ms.median == statistics.median([3.0, 6.0, 9.0])
    assert speed.original_ms.median == statistics.median([12.0, 24.0, 36.0])


def test_each_network_has_the_threads_that_suit_it_by_default(tasks, monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    speeds = time_files(
        Path("teacher"), (EXAMPLE,), [report("a.xml")], (EXAMPLE.expand(4, 3, 16, 16),), rounds=3, runs=2
    )
    assert [task.threads for task in tasks] == [1, 4] * 2
    assert {tuple(task.inputs[0].shape) for task in tasks} == {(1, 3, 16, 16)}  # one image at once
    speed = speeds[Path("a.xml")]
    assert (speed.threads, speed.original_threads, speed.faster) == (1, 4, 12.0)
    assert speed.time_ms.median == 1.0 * 4  # of rounds 3 to 5: those before them chose the threads


def test_on_one_thread_other_programs_do_not_count(tasks):
    said: list[str] = []
    how = {"rounds": 3, "runs": 2, "say": said.append}
    (speed,) = time_files(Path("t"), (EXAMPLE,), [report("busy.onnx")], (EXAMPLE,), threads=1, **how).values()
    assert (speed.time_ms.median, speed.original_ms.median) == (6.0, 24.0)  # of every round: of processor time
    assert speed.processor_time
    assert said == []
    (speed,) = time_files(Path("t"), (EXAMPLE,), [report("busy.onnx")], (EXAMPLE,), threads=2, **how).values()
    assert speed.time_ms.median == 3.0 * 2
    assert not speed.processor_time
    # 0.8 of the 3 ms of the file, and nothing of the 12 ms of the original
    assert [line.partition(",")[0] for line in said] == ["threads waited for a processor for 16% of the timed runs"]


def test_the_number_of_threads_is_chosen_by_the_wall_clock(tasks, monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    said: list[str] = []
    exports = [report("a.onnx"), report("busy.onnx")]
    speeds = time_files(Path("t"), (EXAMPLE,), exports, (EXAMPLE,), rounds=3, runs=2, say=said.append)
    assert not any(speed.processor_time for speed in speeds.values())
    assert len(said) == 1


def test_what_nothing_runs_here_is_not_timed(tasks, monkeypatch):
    monkeypatch.setattr(coreml_runtime, "runs_here", lambda: False)
    exports = [report("a.mlpackage"), report("b.of_nobody")]
    assert time_files(Path("teacher"), (EXAMPLE,), exports, (EXAMPLE,)) == {}
    monkeypatch.setattr(runtime, "find_spec", lambda package: None if package == "openvino" else object())
    speeds = time_files(Path("teacher"), (EXAMPLE,), [report("a.xml"), report("b.onnx")], (EXAMPLE,))
    assert [path.name for path in speeds] == ["b.onnx"]
    assert {task.runtime for task in tasks} == {"eager", "onnxruntime"}


def test_a_file_that_its_runtime_refuses_costs_no_other(tasks, monkeypatch):
    def refusing(tasks, *how):
        if any(task.path.name == "b.onnx" for task in tasks.values()):
            raise ExportError("bench: onnxruntime on b.onnx ended with status 1")
        return time_in_turns(tasks, *how)

    monkeypatch.setattr(files, "time_in_turns", refusing)
    said: list[str] = []
    exports = [report("a.xml"), report("b.onnx"), report("c.xml", "bf16")]
    speeds = time_files(Path("teacher"), (EXAMPLE,), exports, (EXAMPLE,), threads=1, say=said.append)
    assert [path.name for path in speeds] == ["a.xml", "c.xml"]
    assert said == ["b.onnx was not timed: bench: onnxruntime on b.onnx ended with status 1"]


def test_all_files_are_compared_with_one_process_of_the_original(tasks):
    exports = [report(f"{number}.onnx") for number in range(2 * files._AT_ONCE)]
    speeds = time_files(Path("teacher"), (EXAMPLE,), exports, (EXAMPLE,), rounds=3, runs=2, threads=1)
    assert len(speeds) == len(exports)
    assert [task.path.name for task in tasks].count("teacher") == 1


def test_an_original_that_cannot_run_costs_the_times_alone(tasks, monkeypatch):
    def broken(tasks):
        raise ExportError("bench: eager on teacher ended with status 1")

    monkeypatch.setattr(files, "workers", broken)
    said: list[str] = []
    assert time_files(Path("teacher"), (EXAMPLE,), [report("a.onnx")], (EXAMPLE,), say=said.append) == {}
    assert said == ["no file was timed: bench: eager on teacher ended with status 1"]


def test_a_narrow_file_is_faster_than_a_wide_original(tmp_path):
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    wide, narrow = network("wide", 48), network("narrow", 4)
    wide.generator.save(tmp_path / "wide")
    file = export_generator(narrow.generator, narrow.form, tmp_path / "narrow.onnx")
    with workers_as_threads():
        speeds = time_files(tmp_path / "wide", wide.example, [file], narrow.form.inputs, rounds=3, runs=2, threads=1)
    speed = speeds[file.path]
    assert speed.faster > 2  # 144 times fewer MACs
    assert speed.original_ms.median > speed.time_ms.median
