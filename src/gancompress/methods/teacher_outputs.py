"""Teacher's outputs that a training keeps: the trial, the choice that a resumed run repeats, and the cache."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path

import torch
from torch import Tensor, nn

from gancompress.cost.measured import evaluation_mode
from gancompress.io import write_atomically
from gancompress.methods.teacher_trial import Choice, Repeats, Trial, choose, fits_memory
from gancompress.methods.training import TrainingData, digest_of
from gancompress.objectives.distillation import Distillation
from gancompress.objectives.teacher_cache import GIB, TeacherCache, with_digests
from gancompress.training import Batch, Loader, Run, TrainingOptions

CHOICE_FILE = "teacher_cache.json"
"""The choice of a run, in its directory: a resumed run makes no other one."""

_LONG_S = 2.0  # a network that takes this long is not timed again


def keep_outputs(
    objective: Distillation, training: TrainingOptions, data: TrainingData, run: Run
) -> tuple[TeacherCache | None, Loader]:
    """Return the cache of the teacher's outputs, None without one, and the training data that fits it.

    Raises:
        ConfigError: The options of the cache contradict the data, the space or each other.
    """
    repeats = data.repeats
    if repeats is None or repeats.options.is_off or not objective.runs_teacher:
        return None, data.loader

    def say(line: str) -> None:
        if run.is_main:
            run.log.said(line)

    shorter = 2 if training.precision == "bf16" else 1
    if fits_memory(repeats, objective.teacher_bytes // shorter):
        return _opened(Choice(), repeats, objective, training, run, say), with_digests(data.loader)
    tried = repeats, training.total_images, say
    choice = _kept_choice(run, lambda: choose(*tried, lambda: _try(objective, repeats.first(), training, run.device)))
    if choice is None:
        return None, data.loader
    loader = data.loader if choice.copies is None else repeats.cycled(choice.copies)
    return _opened(choice, repeats, objective, training, run, say), with_digests(loader)


def _opened(
    choice: Choice,
    repeats: Repeats,
    objective: Distillation,
    training: TrainingOptions,
    run: Run,
    say: Callable[[str], None],
) -> TeacherCache:
    names, memory = objective.teacher_outputs, int(repeats.options.memory_gib * GIB)
    if not choice.disk or repeats.folder is None:
        return TeacherCache(names, memory, say, half=choice.half)
    made_by = [digest_of(objective.frozen["teacher"]), training.precision, choice.half, run.device.type, repeats.data]
    folder = repeats.folder / sha256(json.dumps([*made_by, choice.copies]).encode()).hexdigest()[:16]
    if run.is_main:
        _remove_others(folder, say)
    run.accelerator.wait_for_everyone()
    left = repeats.room_bytes - sum(file.stat().st_size for file in folder.glob("*.safetensors"))
    left //= run.accelerator.num_processes
    return TeacherCache(names, memory, say, folder=folder, disk_bytes=left, half=choice.half)


def _remove_others(folder: Path, say: Callable[[str], None]) -> None:
    """Remove unfinished files, and the outputs of other teachers, data or augmentations beside a folder."""
    for unfinished in folder.glob(".*.partial"):
        unfinished.unlink(missing_ok=True)
    others = [path for path in folder.parent.glob("*") if path.is_dir() and path != folder]
    for other in others:
        shutil.rmtree(other, ignore_errors=True)
    if others:
        say(
            f"teacher_cache: {folder.parent} held outputs of another teacher, data set, augmentation or precision; "
            "they are removed and made again"
        )


def _kept_choice(run: Run, make: Callable[[], Choice | None]) -> Choice | None:
    """Return the choice of a run: the one in its directory, or a new one, which the main process writes there.

    A run that has checkpoints but no choice began without a restriction of its inputs, and goes on without.
    """
    path = run.directory / CHOICE_FILE
    begun = path.is_file() or any((run.directory / "checkpoints").glob("*.safetensors"))
    run.accelerator.wait_for_everyone()
    if not begun:
        choice = make()
        if choice is not None and run.is_main:
            run.directory.mkdir(parents=True, exist_ok=True)
            write_atomically(path, json.dumps(asdict(choice)).encode())
        run.accelerator.wait_for_everyone()
    return Choice(**json.loads(path.read_bytes())) if path.is_file() else None


def _try(objective: Distillation, batch: Batch, training: TrainingOptions, device: torch.device) -> Trial:
    """Run teacher and student on a batch of one input, and time both; nothing changes but their device."""
    networks = nn.ModuleList([*objective.frozen.values(), *objective.modules.values()]).to(device)
    given = objective.task.encode(batch["input"].to(device))
    precision = torch.autocast(device.type, torch.bfloat16, enabled=training.precision == "bf16")
    with torch.random.fork_rng(), evaluation_mode(networks), precision:
        outputs, teacher_s = _timed(lambda: objective.run_teacher(given))
        _, student_s = _timed(lambda: objective.run_student(given))
    return Trial({name: tensor.cpu() for name, tensor in outputs.items()}, teacher_s, student_s)


def _timed(run: Callable[[], dict[str, Tensor] | None]) -> tuple[dict[str, Tensor], float]:
    """Return what a function returns and its seconds, the least of two calls where the first is short."""
    seconds: list[float] = []
    made: dict[str, Tensor] = {}
    while not seconds or (len(seconds) < 2 and seconds[0] < _LONG_S):
        begun = time.perf_counter()
        made = run() or {}
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - begun)
    return made, min(seconds)
