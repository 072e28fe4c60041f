"""Teacher of a job that exists already: shipped with this package, or read from a checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from gancompress.errors import CheckpointError, ConfigError
from gancompress.io.source import split_key
from gancompress.io.trust import Trust
from gancompress.jobs.steps import Work
from gancompress.jobs.teacher_options import TeacherOptions
from gancompress.networks.fold_branches import fold_generator
from gancompress.networks.generator import Generator
from gancompress.networks.given import one_tensor
from gancompress.networks.image_format import MEASURED, NOT_DECLARED, STANDARD, measured_images
from gancompress.networks.importers import load_generator
from gancompress.tasks.inputs import Inputs

_NUM_MEASURED = 8
"""Number of training images on which a range is measured."""


def check_given_teacher(options: TeacherOptions) -> None:
    """Check that the files of a teacher exist.

    Raises:
        CheckpointError: There is no such checkpoint, or the shipped teacher is damaged.
    """
    if options.shipped is not None:
        options.shipped.check()
    for path in (options.checkpoint, options.discriminator):
        if path is not None and not split_key(path)[0].exists():
            raise CheckpointError(f"{path}: no such file or directory, expected the teacher's weights")


def load_given_teacher(
    options: TeacherOptions, inputs: Inputs, say: Callable[[str], None], trust: Trust = False
) -> Work:
    """Load the teacher, and its discriminator if one is given.

    Raises:
        TrustError: A directory names a class that the recipe does not, without consent.
        CheckpointError: A file cannot be read.
        ConfigError: The range of its images does not fit the task.
    """
    if options.shipped is not None:
        say(f"teacher: '{options.shipped.name}', which comes with gancompress")
        teacher, discriminator = options.shipped.load()
        return Work(teacher, teacher, discriminator)
    assert options.checkpoint is not None
    read = partial(load_generator, say=say, trust=trust)
    teacher = read(options.checkpoint, options.family, options.config or None, images=options.images)
    teacher = _with_images(teacher, options, inputs, say)
    if options.fold_branches:
        teacher = fold_generator(teacher, inputs.example(), say)
    given = options.discriminator
    return Work(teacher, teacher, read(given, role="discriminator") if given else None)


def _with_images(teacher: Generator, options: TeacherOptions, inputs: Inputs, say: Callable[[str], None]) -> Generator:
    """Return the teacher with its image formats, which are measured if the options ask for it, and logged."""
    task, declared = inputs.task, teacher.architecture.images
    if options.range == MEASURED:
        images = one_tensor(task.encode(inputs.first_images("train", _NUM_MEASURED)["input"]), "teacher.range")
        declared = measured_images(teacher.architecture.with_images(STANDARD).build_with(teacher.state), images)
        say(f"teacher: {teacher.family}: images measured to be in {declared}")
    if declared is None and inputs.data.holds_images:
        say(f"teacher: {teacher.family} {NOT_DECLARED}; say otherwise with teacher.range")
    elif declared is not None and task.takes_labels and declared.input.range not in (None, STANDARD.input.range):
        raise ConfigError(
            f"teacher: range: got {declared} for a network of label maps, whose input holds no images, expected "
            f"'unchanged to {declared.output}'"
        )
    return replace(teacher, architecture=teacher.architecture.with_images(declared))
