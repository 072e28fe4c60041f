"""Whole jobs at a tiny size: every step, interruption, resumption, and changed recipes."""

from __future__ import annotations

import builtins
import errno
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from argparse import Namespace
from contextlib import suppress
from fnmatch import fnmatch
from functools import partial
from pathlib import Path

import pytest
import torch

from gancompress.cli import main
from gancompress.deploy.runtimes import runtime
from gancompress.errors import BudgetError, ConfigError, ExportError, Interrupted
from gancompress.jobs import finishing
from gancompress.jobs.finished import FinishedRun
from gancompress.jobs.measuring import measure
from gancompress.jobs.outcome import Outcome
from gancompress.jobs.pipeline import Pipeline
from gancompress.jobs.recipe import Job, load_job
from gancompress.jobs.summary import summarise
from gancompress.methods.loss_records import read_losses
from gancompress.methods.progress import Progress
from gancompress.networks.generator import Generator
from gancompress.report.write import write_report
from tests.deploy.benchmark.in_process import workers_as_threads

TRAINING = {"num_images": 8, "num_decay_images": 0, "batch_size": 4, "checkpoint_every": 4, "log_every": 4}
TINY = [
    "teacher.shipped=null",
    "data.image_size=16",
    "data.num_images={train: 12, search: 4, test: 4}",
    "budget={reduction: 3}",
    "teacher.train.network={family: resnet, config: {ngf: 8, num_blocks: 1}}",
    "teacher.train.discriminator={family: patchgan, config: {ndf: 4, n_layers: 1}}",
    f"teacher.train.training={TRAINING}",
    "steps.0.student={family: resnet, config: {ngf: 8, num_blocks: 1, separable: true}}",
    f"steps.0.training={TRAINING}",
    f"steps.1.training={TRAINING}",
    "steps.2.options={num_candidates: 3, method: random}",
    f"steps.3.training={TRAINING}",
    "exports=[onnx_fixed]",
]

NO_EXPORT = "exports=[]"


def tiny(*changes: str) -> Job:
    return load_job("quickstart-search", [*TINY, *changes])


def run(job: Job, directory: Path, stop=lambda: False) -> tuple[Outcome, list[str]]:
    said: list[str] = []
    return Pipeline(job, directory, said.append, stop).run(), said


def same_weights(a: Generator, b: Generator) -> bool:
    return a.state.keys() == b.state.keys() and all(torch.equal(a.state[n], b.state[n]) for n in a.state)


@pytest.fixture(scope="module")
def straight(tmp_path_factory) -> Outcome:
    return run(tiny(), tmp_path_factory.mktemp("straight"))[0]


@pytest.mark.slow
def test_a_job_leaves_a_smaller_network_its_file_and_its_report(straight):
    directory = straight.directory
    assert straight.compressed.cost.macs.true * 3 <= straight.teacher.cost.macs.true
    assert Generator.load(directory).num_parameters == straight.compressed.cost.parameters
    assert (directory / "exports" / "model.fixed.onnx").stat().st_size == straight.files.reports[0].file_bytes
    assert set(straight.compressed.metrics) == {"ssim", "psnr", "sharpness_gap", "ssim_to_teacher", "psnr_to_teacher"}

    with workers_as_threads():
        report = summarise(straight, torch.zeros(1, 3, 16, 16), rounds=2)
    (speed,) = [export.speed for export in report.exports]
    assert speed.runtime == "onnxruntime"
    assert {speed.threads, speed.original_threads} <= {1, torch.get_num_threads()}
    assert speed.faster_low <= speed.faster <= speed.faster_high
    write_report(report, directory)
    assert "quickstart" in (directory / "report.html").read_text()
    assert [step.kind for step in report.steps] == ["train_teacher", "distill", "supernet", "search", "finetune"]
    assert all(step.losses for step in report.steps if step.kind != "search")
    assert report.search is not None
    assert [candidate.chosen for candidate in report.search.candidates].count(True) == 1
    assert all(candidate.cost <= report.search.budget for candidate in report.search.candidates)


def test_a_file_whose_package_is_missing_is_left_out_or_refused_before_anything_is_done(tmp_path, monkeypatch):
    monkeypatch.setattr(runtime, "find_spec", lambda name: None if name == "openvino" else name)
    with pytest.raises(
        ExportError, match=r"exports\.1: openvino needs the package openvino: pip install 'gancompress\[openvino\]'"
    ):
        run(tiny("exports=[onnx, openvino]"), tmp_path)
    assert list(tmp_path.iterdir()) == []
    job, said = tiny("exports=[onnx, {format: openvino, if_installed: true}]"), []
    Pipeline(job, tmp_path, said.append).stages()
    (line,) = said
    assert (
        line == "exports.1: skipped, because openvino needs the package openvino: pip install 'gancompress[openvino]'"
    )


def test_a_finished_run_can_be_measured_again(straight):
    job = load_job(str(straight.directory / "job.yaml"))
    assert job == tiny()
    again = FinishedRun(job, straight.directory).evaluate("test")
    assert {n: r.value for n, r in again.metrics.items()} == {
        n: r.value for n, r in straight.compressed.metrics.items()
    }
    other = FinishedRun(job, straight.directory).evaluate("search")
    assert other.metrics["psnr"].value != again.metrics["psnr"].value


def test_a_finished_job_is_not_done_again(straight):
    again, said = run(tiny(), straight.directory)
    assert same_weights(again.compressed.generator, straight.compressed.generator)
    steps = [line for line in said if ": " in line and not line.startswith("warning: the teacher")]
    assert all("done before" in line for line in steps)
    assert len(steps) == 5


def test_stopping_again_and_again_and_going_on_changes_no_bit(straight, tmp_path):
    """The command is stopped when it asks for the first time, and then each time when it asks for the second time."""
    outcome, stops = None, -1
    while outcome is None:
        asked = iter([False, True] if stops >= 0 else [True])
        if len(list(tmp_path.glob("steps/*/done.json"))) == 5:  # what is left asks twice, and is done at once
            asked = iter([False, False])
        with suppress(Interrupted):
            outcome, _ = run(tiny(NO_EXPORT), tmp_path, stop=lambda asked=asked: next(asked, True))
        stops += 1
        assert stops < 20
    assert stops >= 4
    assert same_weights(outcome.compressed.generator, straight.compressed.generator)


def test_a_changed_recipe_repeats_only_what_it_changes(straight, tmp_path):
    shutil.copytree(straight.directory, tmp_path, dirs_exist_ok=True)
    again, said = run(tiny(NO_EXPORT, "steps.3.distillation.terms=[{kind: l1, weight: 5}]"), tmp_path)
    assert [record["step"] for record in again.records] == [
        "teacher",
        "1-distill",
        "2-supernet",
        "3-search",
        "4-finetune",
    ]
    assert len({record["directory"] for record in again.records}) == 5
    assert [line.partition(":")[0] for line in said if "done before" in line] == [
        "teacher",
        "1-distill",
        "2-supernet",
        "3-search",
    ]
    assert any("4-finetune: the recipe or gancompress has changed" in line for line in said)
    assert len(list((tmp_path / "steps").glob("4-finetune-*"))) == 2


def test_a_changed_checkpoint_or_network_of_a_metric_is_noticed(straight, tmp_path):
    straight.teacher.generator.save(tmp_path / "given")
    job = tiny(f"teacher={{checkpoint: {tmp_path / 'given'}}}")

    def places(job: Job) -> list[Path]:
        return [stage.directory for stage in Pipeline(job, tmp_path / "run", lambda _: None).stages()]

    before = places(job)
    (tmp_path / "network").touch()
    named = places(
        tiny(f"teacher={{checkpoint: {tmp_path / 'given'}}}", f"metrics.networks.x.path={tmp_path / 'network'}")
    )
    assert [a == b for a, b in zip(before, named, strict=True)] == [True, True, False, False]
    straight.compressed.generator.save(tmp_path / "given")
    assert not set(before) & set(places(job))


def test_a_job_trains_with_its_threads_and_measures_with_those_of_before(straight, tmp_path, monkeypatch):
    asked, measured = list[int](), list[int]()
    before = torch.get_num_threads()

    def stop() -> bool:
        asked.append(torch.get_num_threads())
        return False

    def measuring(*arguments, **options):
        measured.append(torch.get_num_threads())
        return measure(*arguments, **options)

    monkeypatch.setattr(finishing, "measure", measuring)
    step = {"kind": "distill", "keep": 0.5, "multiple": 2, "training": TRAINING, "distillation": {"terms": ["l1"]}}
    teacher = f"teacher={{checkpoint: {straight.directory / 'teacher'}}}"
    run(tiny(NO_EXPORT, f"threads={before + 1}", teacher, f"steps=[{json.dumps(step)}]"), tmp_path, stop)
    assert set(asked[:-2]) == {before + 1}
    assert len(asked) > 3
    assert asked[-2:] == measured == [before, before]
    with pytest.raises(ConfigError, match=r"threads: got 0, expected .*greater than or equal to 1"):
        tiny("threads=0")


def test_an_infeasible_budget_is_refused_before_the_search_evaluates(tmp_path):
    with pytest.raises(BudgetError, match="the smallest reachable cost"):
        run(tiny("budget={macs: 1000}"), tmp_path)


def test_unpaired_jobs_run_too(tmp_path):
    job = tiny(
        NO_EXPORT,
        "task=unpaired",
        "metrics.against_real=[]",
        "steps.2.against=teacher",
        "teacher.train.cyclegan={pool_size: 4}",
        "steps.0.distillation.terms=[{kind: l1, weight: 10}, {kind: features, weight: 0.01}, {kind: gan, form: lsgan}]",
    )
    outcome, _ = run(job, tmp_path)
    assert outcome.compressed.cost.macs.true * 3 <= outcome.teacher.cost.macs.true


def test_a_checkpoint_is_a_teacher(straight, tmp_path):
    state = dict(straight.teacher.generator.state)
    torch.save({"netG_A": {"weight": torch.ones(1)}, "netG_B": state, "args": Namespace()}, tmp_path / "last.ckpt")
    recipe = tmp_path / "own.yaml"
    step = {
        "kind": "distill",
        "keep": 0.5,
        "multiple": 2,
        "training": TRAINING,
        "distillation": {"terms": ["l1", "features"]},
    }
    data = {"kind": "procedural", "image_size": 16, "num_images": {"train": 8, "test": 4}}
    recipe.write_text(
        json.dumps(
            {
                "name": "own",
                "task": "paired",
                "data": data,
                "teacher": {"checkpoint": f"{tmp_path}/last.ckpt#netG_B"},
                "steps": [step],
                "exports": [],
            }
        )
    )
    outcome, said = run(load_job(str(recipe)), tmp_path / "run")
    assert f"{tmp_path}/last.ckpt: took 'netG_B'; not read: args (argparse.Namespace), netG_A" in "\n".join(said)
    assert outcome.teacher.cost.parameters == straight.teacher.cost.parameters
    assert outcome.compressed.cost.parameters < outcome.teacher.cost.parameters


def test_a_signal_to_all_its_processes_stops_the_command(tmp_path):
    changes = [argument for change in TINY for argument in ("--set", change)]
    changes += ["--set", "teacher.train.training.num_images=4000", "--set", "num_workers=1"]
    command = [
        sys.executable,
        "-m",
        "gancompress",
        "compress",
        "quickstart-search",
        "--out",
        str(tmp_path / "run"),
        *changes,
    ]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=environment, start_new_session=True)
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("run/steps/teacher-*/losses.jsonl")) and time.monotonic() < deadline:
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGTERM)  # as Ctrl-C in a terminal: the loader's workers hear it too
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert errors.strip().splitlines()[-1].startswith("gancompress: stopped; everything is saved")
    (checkpoint, *_) = sorted(tmp_path.glob("run/steps/teacher-*/checkpoints/*.safetensors"), reverse=True)
    assert 0 < int(checkpoint.stem) < 4000


LONGER = f"teacher.train.training={ {**TRAINING, 'num_images': 24, 'checkpoint_every': 12} }"

FORKED = """
import os, resource, signal, sys
from functools import partial
from pathlib import Path
import torch._dynamo  # before all: training imports it, which takes a second
from gancompress.cli import main
from gancompress.jobs.pipeline import Pipeline
from tests import once
from tests.jobs.test_pipeline import LONGER, NO_EXPORT, TINY, pytest, tiny

folder = Path(sys.argv[1])
once.curves(pytest.MonkeyPatch())

def ended(act):
    pid = os.fork()  # before anything was computed: no threads are lost
    if pid == 0:
        act()
        os._exit(1)
    return os.waitpid(pid, 0)[1]

def killed(verb, changes, name, after):
    asked = iter(range(1, 1000))
    stop = lambda: next(asked) == after and os.kill(os.getpid(), signal.SIGKILL)
    getattr(Pipeline(tiny(*changes), folder / name, print, stop), verb)()

def limited():
    os.dup2(os.open(folder / "limited.txt", os.O_CREAT | os.O_WRONLY), sys.stderr.fileno())
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
    changes = [argument for change in TINY for argument in ("--set", change)]
    sys.argv = ["gancompress", "train", "quickstart-search", "--out", str(folder / "limited"), *changes]
    try:
        main()
    except SystemExit as end:
        os._exit(end.code)

for verb, changes, name, after in (("teacher", [LONGER], "training", 5), ("run", [NO_EXPORT], "search", 8)):
    status = ended(partial(killed, verb, changes, name, after))
    assert os.WTERMSIG(status) == signal.SIGKILL, status
status = ended(limited)
assert os.waitstatus_to_exitcode(status) == 2, status
"""


@pytest.fixture(scope="module")
def forked(tmp_path_factory) -> Path:
    """Runs in processes of their own: two killed in training and in the search, one that may write no large file."""
    if not hasattr(os, "fork"):
        pytest.skip("needs fork")
    folder, root = tmp_path_factory.mktemp("forked"), str(Path(__file__).parents[2])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([*filter(None, [os.environ.get("PYTHONPATH")]), root])}
    command = [sys.executable, "-c", FORKED, str(folder)]
    script = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert script.returncode == 0, script.stderr
    return folder


@pytest.mark.slow
def test_after_a_kill_the_same_command_ends_with_the_same_bits(straight, forked, tmp_path):
    in_training, in_search = forked / "training", forked / "search"

    # Killed at 20 images, with a checkpoint at 12: it goes on from there, and what was logged beyond is logged again.
    shown: list[Progress] = []
    going_on = Pipeline(tiny(LONGER), in_training, lambda _: None, show=shown.append)  # type: ignore[arg-type]
    teacher = going_on.teacher().teacher
    assert [progress.done for progress in shown[:2]] == [12, 16]
    assert same_weights(teacher, Pipeline(tiny(LONGER), tmp_path / "straight", lambda _: None).teacher().teacher)
    (directory,) = in_training.glob("steps/teacher-*")
    assert [line["num_images"] for line in read_losses(directory)] == [4, 8, 12, 16, 20, 24]

    # Killed while the second of three candidates was due: the first is not evaluated again.
    shown.clear()
    outcome = Pipeline(tiny(NO_EXPORT), in_search, lambda _: None, show=shown.append).run()  # type: ignore[arg-type]
    searched = [progress.done for progress in shown if getattr(progress, "unit", "") == "candidates"]
    assert searched == [1, 2, 3]
    assert same_weights(outcome.compressed.generator, straight.compressed.generator)


FULL_AT = [
    "job.yaml",
    "steps/teacher-*/losses.jsonl",
    "steps/teacher-*/previews/000000008.png",
    "steps/teacher-*/checkpoints/000000000008.safetensors",
    "steps/teacher-*/losses.png",
    "steps/teacher-*/generator/model.safetensors",
    "steps/teacher-*/done.json",
    "teacher/model.safetensors",
    "steps/1-distill-*/checkpoints/000000000004.safetensors",
    "steps/2-supernet-*/losses.jsonl",
    "steps/3-search-*/search.journal",
    "steps/3-search-*/generator/config.json",
    "records.jsonl",
    "model.safetensors",
    "samples/test.png",
    "report.html",
]
"""Files of a run in the order in which they are written, each one the first of its kind that finds the disk full."""


class FullDisk:
    """Files are opened as ever, but of what is written to one of them only half arrives."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root, self.at = root, ""
        for module in (io, builtins):
            monkeypatch.setattr(module, "open", partial(self._open, module.open))

    def _open(self, really_open, file, mode="r", *arguments, **options):
        opened = really_open(file, mode, *arguments, **options)
        name = re.sub(r"/\.([^/]+)\.\d+\.partial$", r"/\1", str(file))
        if self.at and set(mode) & set("wa") and fnmatch(name, f"{self.root}/{self.at}"):
            opened.write = partial(self._write, opened.write)
        return opened

    @staticmethod
    def _write(really_write, content):
        really_write(content[: len(content) // 2])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.slow
def test_a_disk_that_fills_up_anywhere_costs_one_line_and_no_bit(straight, tmp_path, monkeypatch, capsys):
    out = tmp_path / "run"
    disk = FullDisk(out, monkeypatch)
    changes = [argument for change in (*TINY, NO_EXPORT) for argument in ("--set", change)]
    monkeypatch.setattr(sys, "argv", ["gancompress", "compress", "quickstart-search", "--out", str(out), *changes])
    for place in FULL_AT:
        disk.at = place
        with pytest.raises(SystemExit) as exit:
            main()
        assert exit.value.code == 2, place
        (line,) = capsys.readouterr().err.splitlines()
        file, _, advice = line.removeprefix("gancompress: ").partition(": ")
        assert fnmatch(file, f"{out}/{place}")
        assert advice.startswith("No space left on device; make room there and run the same command")
        assert not list(out.rglob("*.partial")), place
    disk.at = ""
    with pytest.raises(SystemExit) as exit:
        main()
    assert exit.value.code == 0
    assert same_weights(Generator.load(out), straight.compressed.generator)
    trained = [read_losses(directory) for directory in sorted(out.glob("steps/*")) if "search" not in directory.name]
    assert [[line["num_images"] for line in lines] for lines in trained] == [[4, 8]] * 4
    records = [json.loads(line)["step"] for line in (out / "records.jsonl").read_text().splitlines()]
    assert records == ["teacher", "1-distill", "2-supernet", "3-search", "4-finetune"]
    assert "quickstart" in (out / "report.html").read_text()


def test_what_the_system_refuses_to_write_is_one_line(straight, forked):
    (line,) = (forked / "limited.txt").read_text().splitlines()
    (directory,) = forked.glob("limited/steps/teacher-*")
    checkpoint = directory / "checkpoints" / "000000000004.safetensors"
    assert line.startswith(f"gancompress: {checkpoint}: File too large; make room there and run the same command")
    assert same_weights(Pipeline(tiny(), forked / "limited", print).teacher().teacher, straight.teacher.generator)


def test_the_stages_say_what_is_done_and_what_a_change_undoes(straight, tmp_path):
    def states(*changes: str) -> dict[str, tuple[str, int]]:
        stages = Pipeline(tiny(*changes), straight.directory, print).stages()
        return {stage.name: (stage.state, len(stage.replaced)) for stage in stages}

    before = sorted(straight.directory.rglob("*"))
    done, again = ("done", 0), ("new", 1)
    assert set(states().values()) == {done}
    assert list(states("steps.1.training.num_images=12").values()) == [done, done, again, again, again]
    assert set(states("seed=1").values()) == {again}
    assert sorted(straight.directory.rglob("*")) == before
