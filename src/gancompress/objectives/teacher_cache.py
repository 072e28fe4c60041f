"""Cache of the teacher's outputs for inputs that repeat: running a teacher costs more than training a small student.

An output is found by the content of its input, so any augmentation is safe: a new crop or mirrored image is simply not
found. If one output of a batch is missing, the whole batch is run, as without a cache. Each image of a batch is
computed alike at any position in the batch, so training with the cache is bit-identical.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated

import torch
from pydantic import Field
from safetensors.torch import load_file, save
from torch import Tensor

from gancompress.data import DataConfig
from gancompress.errors import ConfigError
from gancompress.io import write_atomically
from gancompress.networks.given import Given, tensors_in
from gancompress.options import Options
from gancompress.tasks import LatentTask, Task
from gancompress.training import Batch, Loader

_GIB = 2**30

Tensors = tuple[Tensor, ...]
"""Outputs of a batch, [b, ...] each: the image and the feature maps."""


class TeacherCacheOptions(Options):
    """Size limits of the cache of the teacher's outputs.

    Attributes:
        memory_gib: Limit of the memory of each process.
        disk_gib: Limit of the step's directory, for all processes together, in addition to the memory.
        required: Whether it is an error if the outputs for all training inputs do not fit, or that inputs do not
            repeat. Otherwise training then runs without a cache and logs why.
    """

    memory_gib: Annotated[float, Field(ge=0)] = 1.0
    disk_gib: Annotated[float, Field(ge=0)] = 0.0
    required: bool = False


class TeacherCache:
    """Outputs of one teacher, keyed by the content of the input, in memory and in a folder.

    Args:
        options: Bounds.
        folder: Folder of the files; created with the first file.
        log: Takes one line when the folder cannot be written: training continues without caching more.
    """

    def __init__(self, options: TeacherCacheOptions, folder: Path, log: Callable[[str], None]) -> None:
        self._room = [int(options.memory_gib * _GIB), int(options.disk_gib * _GIB)]
        self._folder, self._log = folder, log
        self._held: dict[str, Tensors] = {}
        self._written = {path.stem for path in folder.glob("*.safetensors")}
        self._room[1] -= sum(path.stat().st_size for path in folder.glob("*.safetensors"))

    def get(self, inputs: Sequence[str], run: Callable[[], Tensors]) -> Tensors:
        """Return the outputs of a batch.

        Args:
            inputs: The digest of each input. See `digests`.
            run: Computes the outputs of the whole batch, on any device.
        """
        entries = [self._find(digest) for digest in inputs]
        if all(entry is not None for entry in entries):
            return tuple(torch.stack(tensors) for tensors in zip(*entries, strict=True))  # type: ignore[arg-type]
        outputs = run()
        for digest, entry, *tensors in zip(inputs, entries, *outputs, strict=True):
            if entry is None:
                self._keep(digest, tuple(tensors))
        return outputs

    def _find(self, digest: str) -> Tensors | None:
        if digest in self._held:
            return self._held[digest]
        if digest in self._written:
            return tuple(load_file(self._folder / f"{digest}.safetensors").values())
        return None

    def _keep(self, digest: str, tensors: Tensors) -> None:
        num_bytes = sum(tensor.nbytes for tensor in tensors)
        if num_bytes <= self._room[0]:
            self._held[digest] = tuple(tensor.detach().to("cpu", copy=True) for tensor in tensors)
            self._room[0] -= num_bytes
        elif num_bytes <= self._room[1]:
            self._write(digest, tensors)

    def _write(self, digest: str, tensors: Tensors) -> None:
        content = save({f"{i:03d}": tensor.detach().cpu().contiguous() for i, tensor in enumerate(tensors)})
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            write_atomically(self._folder / f"{digest}.safetensors", content)
        except OSError as error:
            self._room[1] = 0
            self._log(f"teacher_cache: {self._folder} cannot be written ({error}); training goes on without more of it")
            return
        self._room[1] -= len(content)
        self._written.add(digest)


def digests(inputs: Given) -> list[str]:
    """Return a digest of each input of a batch [b, ...] on the CPU; equal inputs have equal digests."""
    found = [hashlib.blake2b(digest_size=16) for _ in range(len(inputs))]
    for tensor in tensors_in(inputs):
        for digest, row in zip(found, tensor.contiguous().view(len(tensor), -1).view(torch.uint8).numpy(), strict=True):
            digest.update(row.tobytes())
    return [digest.hexdigest() for digest in found]


def with_digests(loader: Loader) -> Loader:
    """Return a loader whose batches hold the digest of each input, as ``digest``."""

    def load(start: int, batch_size: int) -> Iterator[Batch]:
        for batch in loader(start, batch_size):
            yield {**batch, "digest": digests(batch["input"])}

    return load


def open_teacher_cache(
    options: TeacherCacheOptions,
    bytes_per_image: int,
    data: DataConfig,
    task: Task,
    folder: Path,
    log: Callable[[str], None],
) -> TeacherCache | None:
    """Return a cache that holds the outputs for all training inputs, or None if that is impossible.

    Args:
        options: Bounds.
        bytes_per_image: Bytes of the outputs for one input.
        data: The data set; its split ``train`` is counted.
        task: The task; tasks that draw their inputs never repeat them.
        folder: Folder of the outputs on disk.
        log: Takes one line where outputs are not kept, and later where the folder cannot be written.

    Raises:
        ConfigError: The folder's disk has less free space than asked for, or the cache is required and the inputs do
            not repeat or the outputs do not fit.
    """
    if not options.memory_gib and not options.disk_gib:
        return None
    views = None if isinstance(task, LatentTask) else data.num_views()
    if views is None:
        return _without(options, "the training inputs never repeat (random crops or noise)", "no random crop", log)
    needed = len(data.open("train")) * views * bytes_per_image / _GIB
    if needed > options.memory_gib + options.disk_gib:
        got = f"the teacher's outputs need {needed:.2f} GiB, more than memory_gib and disk_gib allow"
        return _without(options, got, f"disk_gib: {needed:.1f}", log)
    on_disk = needed - options.memory_gib
    if on_disk > 0:
        _check_free_space(folder, on_disk)
    return TeacherCache(options, folder, log)


def _without(options: TeacherCacheOptions, got: str, expected: str, log: Callable[[str], None]) -> None:
    if options.required:
        raise ConfigError(f"teacher_cache: {got}; expected {expected}, or required: false")
    if options != TeacherCacheOptions():
        log(f"teacher_cache: not used: {got}")


def _check_free_space(folder: Path, gib: float) -> None:
    place = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(place).free / _GIB
    if free < gib:
        raise ConfigError(
            f"teacher_cache: got {free:.2f} GiB free on the disk of {folder}, expected {gib:.2f} GiB for the teacher's "
            "outputs; free some space or set teacher_cache.disk_gib: 0"
        )
