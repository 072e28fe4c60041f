"""Cache of the teacher's outputs for inputs that repeat: running a teacher costs more than training a small student.

An output is found by the content of its input, so any augmentation is safe: a new crop or mirrored image is simply not
found. If one output of a batch is missing, the whole batch is run, as without a cache. Each image of a batch is
computed alike at any position in the batch, so training with the cache is bit-identical, apart from the rounding of
``half``, which is the same whether an output was found or not.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import torch
from pydantic import Field, model_validator
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from gancompress.io import write_atomically
from gancompress.networks.given import Given, tensors_in
from gancompress.options import Options
from gancompress.training import Batch, Loader

GIB = 2**30

Tensors = Mapping[str, Tensor]
"""Outputs by name, the image and the feature maps: [b, ...] of a batch, or [...] of one input."""


class TeacherCacheOptions(Options):
    """Size limits of the cache of the teacher's outputs, and the inputs that it is for.

    Attributes:
        memory_gib: Limit of the memory of each process.
        disk_gib: Limit of the folder on disk, for all processes together. Outputs are written there if they do not fit
            into the memory and a trial finds that the teacher takes longer than the student's step, or if ``copies`` or
            ``required`` is set.
        copies: Random crops and flips that are drawn of each training image, after which the same ones come again. By
            default a number that suits time and space if the teacher takes longer than the student's step, or else no
            limit.
        half: Whether outputs have half precision, except where memory holds those of all inputs. The student then
            learns from the rounded values each time.
        required: Whether it is an error if the outputs for all training inputs do not fit, or that inputs do not
            repeat. Otherwise training then runs without a cache and logs why.
    """

    memory_gib: Annotated[float, Field(ge=0)] = 1.0
    disk_gib: Annotated[float, Field(ge=0)] = 8.0
    copies: Annotated[int, Field(ge=1)] | None = None
    half: bool = True
    required: bool = False

    @property
    def is_off(self) -> bool:
        """True if nothing may be kept."""
        return not self.memory_gib and not self.disk_gib

    @model_validator(mode="after")
    def _has_room(self) -> TeacherCacheOptions:
        wanting = {"copies": self.copies is not None, "required": self.required}
        if self.is_off and any(wanting.values()):
            name = next(name for name, given in wanting.items() if given)
            raise ValueError(f"{name}: got it with memory_gib: 0 and disk_gib: 0, expected room in one of them")
        return self


class TeacherCache:
    """Outputs of one teacher, keyed by the content of the input, in a folder and in memory.

    With a folder every output is written to it, one file for each input, complete or absent; the memory then only saves
    reading. Several processes may share the folder.

    Args:
        names: Names of the outputs. Files that lack one are written again.
        memory_bytes: Limit of the memory.
        log: Takes one line when the folder cannot be written: training continues without writing more.
        folder: Folder of the files; created with the first file. None keeps outputs in memory alone.
        disk_bytes: Limit of what this process adds to the folder.
        half: Whether float32 outputs are rounded to half precision.
    """

    def __init__(
        self,
        names: Sequence[str],
        memory_bytes: int,
        log: Callable[[str], None],
        *,
        folder: Path | None = None,
        disk_bytes: int = 0,
        half: bool = False,
    ) -> None:
        self._names, self._half = tuple(names), half
        self._folder, self._log = folder, log
        self._memory_left, self._disk_left = memory_bytes, disk_bytes
        self._held: dict[str, Tensors] = {}

    def get(self, inputs: Sequence[str], run: Callable[[], Tensors]) -> dict[str, Tensor]:
        """Return the outputs of a batch.

        Args:
            inputs: The digest of each input. See `digests`.
            run: Computes the outputs of the whole batch, on any device.
        """
        entries = [self._find(digest) for digest in inputs]
        if all(entry is not None for entry in entries):
            return {name: torch.stack([_restored(entry[name]) for entry in entries if entry]) for name in self._names}
        outputs = {name: stored(tensor, self._half) for name, tensor in run().items()}
        for number, (digest, entry) in enumerate(zip(inputs, entries, strict=True)):
            if entry is None:
                self._keep(digest, {name: tensor[number] for name, tensor in outputs.items()})
        return {name: _restored(tensor) for name, tensor in outputs.items()}

    def _find(self, digest: str) -> Tensors | None:
        if digest in self._held or self._folder is None:
            return self._held.get(digest)
        try:
            with safe_open(self._folder / f"{digest}.safetensors", "pt") as file:
                if not set(self._names) <= set(file.keys()):
                    return None
                entry = {name: file.get_tensor(name) for name in self._names}
        except (OSError, SafetensorError):
            return None
        self._hold(digest, entry)
        return entry

    def _keep(self, digest: str, tensors: Tensors) -> None:
        entry = {name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in tensors.items()}
        self._hold(digest, entry)
        if self._folder is not None and _bytes_of(entry) <= self._disk_left:
            self._write(self._folder, digest, entry)

    def _hold(self, digest: str, entry: Tensors) -> None:
        num_bytes = _bytes_of(entry)
        if num_bytes <= self._memory_left:
            self._held[digest] = entry
            self._memory_left -= num_bytes

    def _write(self, folder: Path, digest: str, entry: Tensors) -> None:
        content = save(dict(entry))
        try:
            folder.mkdir(parents=True, exist_ok=True)
            write_atomically(folder / f"{digest}.safetensors", content)
        except OSError as error:
            self._disk_left = 0
            self._log(f"teacher_cache: {folder} cannot be written ({error}); training goes on without more of it")
            return
        self._disk_left -= len(content)


def stored(tensor: Tensor, half: bool) -> Tensor:
    """Return an output in the type in which it is kept: float16 instead of float32 if it may be halved."""
    return tensor.half() if half and tensor.dtype == torch.float32 else tensor


def _restored(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.dtype == torch.float16 else tensor


def _bytes_of(tensors: Tensors) -> int:
    return sum(tensor.nbytes for tensor in tensors.values())


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
