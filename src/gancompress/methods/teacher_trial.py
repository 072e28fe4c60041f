"""Choice of the teacher's outputs that a training keeps, from the options, the sizes and a trial of both networks."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, NoReturn

from torch import Tensor

from gancompress.errors import ConfigError
from gancompress.objectives.teacher_cache import GIB, TeacherCacheOptions, stored
from gancompress.report.wording import compact, duration, significant
from gancompress.training import Batch, Loader

LEAST_COPIES = 4
"""Fewest crops and flips of an image to which training is restricted without being asked to."""

LEAST_PASSES = 8
"""Fewest times that an input is trained on if training is restricted without being asked to."""


@dataclass(frozen=True)
class Repeats:
    """Repetition of the training inputs, on which keeping the teacher's outputs depends.

    Attributes:
        options: Limits of the cache.
        num_images: Images of an epoch; None if unknown.
        num_views: Different inputs made of each image; None if they are unbounded or unknown.
        first: Returns a batch of one training input.
        cycled: Takes a number of copies, and returns a loader whose inputs repeat after that many epochs.
        folder: Folder that outputs may be written to; None keeps them in memory alone.
        data: Description of the data and its augmentation, which outputs on disk belong to.
    """

    options: TeacherCacheOptions
    num_images: int | None
    num_views: int | None
    first: Callable[[], Batch]
    cycled: Callable[[int], Loader]
    folder: Path | None
    data: str = ""

    @property
    def on_disk(self) -> bool:
        """True if outputs that memory cannot hold may be written to the folder."""
        return self.folder is not None and self.options.disk_gib > 0

    @property
    def room_bytes(self) -> int:
        """Limit of the outputs of all inputs together: that of the folder, or without one that of the memory."""
        return int((self.options.disk_gib if self.on_disk else self.options.memory_gib) * GIB)


@dataclass(frozen=True)
class Choice:
    """Outputs that a training keeps.

    Attributes:
        disk: Whether outputs are written to the folder; otherwise they stay in memory.
        copies: Epochs after which inputs repeat; None leaves the data unchanged.
        half: Whether outputs have half precision.
    """

    disk: bool = False
    copies: int | None = None
    half: bool = False


class Trial(NamedTuple):
    """Outputs of the teacher for one training input, and the time of both networks.

    Attributes:
        outputs: Outputs by name, [1, ...] each.
        teacher_s: Seconds of the teacher.
        student_s: Seconds of the student, forwards and backwards.
    """

    outputs: dict[str, Tensor]
    teacher_s: float
    student_s: float

    def num_bytes(self, half: bool) -> int:
        """Return the bytes of the outputs."""
        return sum(stored(tensor, half).nbytes for tensor in self.outputs.values())


Say = Callable[[str], None]


def fits_memory(repeats: Repeats, bytes_per_input: int) -> bool:
    """Return True if memory holds the outputs for all training inputs, so that nothing has to be chosen.

    Args:
        repeats: Repetition of the inputs.
        bytes_per_input: Bytes of the teacher's outputs for one input, in full precision.
    """
    images, views = repeats.num_images, repeats.num_views
    if repeats.options.copies is not None or images is None or views is None:
        return False
    return images * views * bytes_per_input <= repeats.options.memory_gib * GIB


def choose(repeats: Repeats, num_images: int, say: Say, trial: Callable[[], Trial]) -> Choice | None:
    """Choose what a training keeps where memory does not hold the outputs for all its inputs.

    Args:
        repeats: Repetition of the inputs.
        num_images: Images of the whole training.
        say: Takes one line for the user.
        trial: Runs and times both networks on one training input. Called only if outputs may be kept.

    Returns:
        The choice; None runs the teacher for every batch.

    Raises:
        ConfigError: The options contradict the data or each other, there is too little disk space for what they ask,
            or the cache is required and impossible.
    """
    options, images, views = repeats.options, repeats.num_images, repeats.num_views
    if options.copies is not None:
        return _asked(options.copies, repeats, num_images, say, trial)
    if images is None or (views is None and options.required):
        return _without(repeats, "the training inputs never repeat (random crops or noise)", "copies: 4", say)
    least = 2 * views if views is not None else LEAST_PASSES * LEAST_COPIES
    if num_images < least * images and not options.required:
        return _without(repeats, f"inputs come too rarely again in {num_images:,} images of training", "more", say)
    tried = trial()
    if tried.teacher_s <= tried.student_s and not options.required:
        return _without(repeats, "the teacher is faster than the student's step", "copies", say)
    half = _halved(options, tried, say)
    size = tried.num_bytes(half)
    room = repeats.room_bytes
    if repeats.on_disk and repeats.folder is not None:
        room = min(room, _free_bytes(repeats.folder) // 2)
    if room < images * size * (views or LEAST_COPIES):
        return _too_large(repeats, images * size * (views or LEAST_COPIES), tried, half, say)
    copies = None
    if views is None:
        as_long = int(num_images * tried.student_s / tried.teacher_s) // images
        copies = min(max(as_long, LEAST_COPIES), room // (images * size), num_images // (LEAST_PASSES * images))
    _tell(images * (copies or views or 1), copies, repeats, tried, half, num_images, say)
    return Choice(repeats.on_disk, copies, half)


def _too_large(repeats: Repeats, num_bytes: int, tried: Trial, half: bool, say: Say) -> None:
    name = "disk_gib" if repeats.on_disk else "memory_gib"
    maps = 1 - stored(tried.outputs["image"], half).nbytes / tried.num_bytes(half)
    of_them = f", {maps:.0%} of it for feature maps" if maps > 0.01 else ""
    needed = num_bytes / GIB
    got = f"the teacher's outputs need {needed:.2f} GiB{of_them}"
    free = " and twice as much free space" if repeats.on_disk else ""
    _without(repeats, got, f"{name}: {needed + 0.05:.1f}{free}", say, slow=tried)


def _asked(copies: int, repeats: Repeats, num_images: int, say: Say, trial: Callable[[], Trial]) -> Choice | None:
    """Return the choice of ``copies``."""
    options, images, views = repeats.options, repeats.num_images, repeats.num_views
    if views is not None and copies >= views:
        _refuse(f"copies: got {copies}, but all inputs repeat: {views} are made of an image", "no copies")
    if images is not None and num_images <= images * copies:
        got = f"{copies} copies of {images:,} images do not come twice in {num_images:,} images of training"
        return _without(repeats, got, "fewer copies, or longer training", say)
    tried = trial()
    half = _halved(options, tried, say)
    if images is None:
        return Choice(repeats.on_disk, copies, half)
    size, name = images * tried.num_bytes(half), "disk_gib" if repeats.on_disk else "memory_gib"
    if size * copies > repeats.room_bytes:
        fitting, needed = repeats.room_bytes // size, f"{name}: {size * copies / GIB + 0.05:.1f}"
        _refuse(
            f"copies: got {copies} of {images:,} images, {size * copies / GIB:.2f} GiB, with {name}: "
            f"{repeats.room_bytes / GIB:.3g}",
            f"copies: {fitting} or {needed}" if fitting else needed,
        )
    if repeats.on_disk and repeats.folder is not None:
        _check_free_space(repeats.folder, size * copies)
    _tell(images * copies, copies, repeats, tried, half, num_images, say)
    return Choice(repeats.on_disk, copies, half)


def _halved(options: TeacherCacheOptions, tried: Trial, say: Callable[[str], None]) -> bool:
    """Return True if the outputs may have half precision: they are asked to, and all values are in its range."""
    if not options.half:
        return False
    beyond = [name for name, each in tried.outputs.items() if not stored(each, True).isfinite().all()]
    if beyond:
        say(f"teacher_cache: kept in full precision, because values of {beyond[0]} are beyond the range of half")
    return not beyond


def _tell(
    num_inputs: int, copies: int | None, repeats: Repeats, tried: Trial, half: bool, num_images: int, say: Say
) -> None:
    size, rounded = tried.num_bytes(half), ""
    if half:
        image = tried.outputs["image"].float()
        error = (image.half().float() - image).norm() / image.norm().clamp(min=1e-12)
        rounded = f" in half precision (relative error of the image {significant(float(error), 2)})"
    drawn = "" if copies is None else f" ({copies} random crops and flips of each image)"
    place = f"{num_inputs * size / GIB:.2f} GiB in {repeats.folder if repeats.on_disk else 'memory'}"
    say(
        f"teacher_cache: the teacher takes {significant(tried.teacher_s)} s for an input, the student's step "
        f"{significant(tried.student_s)} s: outputs for {num_inputs:,} inputs{drawn} are made once and kept, "
        f"{compact(size, 'B')} each{rounded}, {place}; {duration(num_inputs * tried.teacher_s)} of the teacher "
        f"instead of {duration(num_images * tried.teacher_s)}"
    )


def _without(repeats: Repeats, got: str, expected: str, say: Say, slow: Trial | None = None) -> None:
    if repeats.options.required:
        _refuse(got, f"{expected}, or required: false")
    if slow is not None:
        pace = f"{significant(slow.teacher_s)} s for an input and the student's step {significant(slow.student_s)} s"
        say(f"teacher_cache: not used, though the teacher takes {pace}: {got}; expected {expected}")
    elif repeats.options != TeacherCacheOptions():
        say(f"teacher_cache: not used: {got}")


def _refuse(got: str, expected: str) -> NoReturn:
    raise ConfigError(f"teacher_cache: {got}; expected {expected}")


def _free_bytes(folder: Path) -> int:
    return shutil.disk_usage(next(path for path in (folder, *folder.parents) if path.exists())).free


def _check_free_space(folder: Path, num_bytes: int) -> None:
    held = sum(file.stat().st_size for file in folder.glob("*/*.safetensors"))
    free = _free_bytes(folder)
    if free + held < num_bytes:
        raise ConfigError(
            f"teacher_cache: got {free / GIB:.2f} GiB free on the disk of {folder}, expected {num_bytes / GIB:.2f} GiB "
            "for the teacher's outputs; free some space, or give fewer copies"
        )
