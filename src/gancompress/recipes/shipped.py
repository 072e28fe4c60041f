"""Trained teachers that ship with this package, so that a recipe can start without training one."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, field_validator

from gancompress.errors import CheckpointError, nearest
from gancompress.io import file_sha256, write_atomically
from gancompress.networks.generator import WEIGHTS_FILE, Generator
from gancompress.options import Options

FOLDER = Path(__file__).parent / "teachers"
"""A directory for each shipped teacher: a generator, optionally its discriminator, and their training options."""

DISCRIMINATOR, TRAINING_FILE = "discriminator", "training.json"


def _check_digits(sha256: str) -> str:
    if not re.fullmatch("[0-9a-f]{64}", sha256):
        raise ValueError(f"got '{sha256}', expected the SHA-256 of a file: 64 hexadecimal digits")
    return sha256


Sha256 = Annotated[str, AfterValidator(_check_digits)]
"""The SHA-256 of a file, in hexadecimal."""


class ShippedTeacher(Options):
    """A teacher that ships with this package: weights in half precision, loaded as float32.

    Attributes:
        name: Name of its directory among the shipped teachers.
        sha256: SHA-256 of its weights, ``model.safetensors``.
        discriminator_sha256: SHA-256 of the weights of its discriminator; None loads no discriminator.
    """

    name: str
    sha256: Sha256
    discriminator_sha256: Sha256 | None = None

    @field_validator("name")
    @classmethod
    def _exists(cls, name: str) -> str:
        known = shipped_names()
        if name not in known:
            raise ValueError(f"got '{name}', expected a teacher that comes with gancompress; {nearest(name, known)}")
        return name

    @classmethod
    def write(
        cls, name: str, generator: Generator, discriminator: Generator | None, training: Mapping[str, Any]
    ) -> Self:
        """Write a teacher into the package, in half precision.

        Args:
            name: Name of its directory.
            generator: The teacher.
            discriminator: The discriminator to ship with it.
            training: ``teacher.train`` of the recipe that trained it, as far as it differs from the defaults.

        Returns:
            Options that name the teacher in a recipe.

        Raises:
            CheckpointError: A weight is too large for half precision.
        """
        directory = FOLDER / name
        _halved(generator).save(directory)
        if discriminator is not None:
            _halved(discriminator).save(directory / DISCRIMINATOR)
        write_atomically(directory / TRAINING_FILE, f"{json.dumps(training, indent=2)}\n".encode())
        other = None if discriminator is None else file_sha256(directory / DISCRIMINATOR / WEIGHTS_FILE)
        return cls(name=name, sha256=file_sha256(directory / WEIGHTS_FILE), discriminator_sha256=other)

    @property
    def training(self) -> Mapping[str, Any]:
        """Training options of the teacher: ``teacher.train`` of its recipe, as far as it differs from the defaults."""
        return json.loads((FOLDER / self.name / TRAINING_FILE).read_text())

    def check(self) -> None:
        """Check the files of weights against the recipe's SHA-256.

        Raises:
            CheckpointError: A file of weights is missing or has another SHA-256.
        """
        directory = FOLDER / self.name
        _check_sha256(directory / WEIGHTS_FILE, self.sha256)
        if self.discriminator_sha256 is not None:
            _check_sha256(directory / DISCRIMINATOR / WEIGHTS_FILE, self.discriminator_sha256)

    def load(self) -> tuple[Generator, Generator | None]:
        """Return the teacher and its discriminator, if it is used, with their weights in float32.

        Raises:
            CheckpointError: `check` failed, or a config is missing or does not fit.
        """
        self.check()
        directory = FOLDER / self.name
        generator = _in_float32(Generator.load(directory))
        if self.discriminator_sha256 is None:
            return generator, None
        return generator, _in_float32(Generator.load(directory / DISCRIMINATOR))


def shipped_names() -> list[str]:
    """Return the names of the shipped teachers."""
    return sorted(file.parent.name for file in FOLDER.glob(f"*/{TRAINING_FILE}"))


def _check_sha256(path: Path, expected: str) -> None:
    advice = "install gancompress again, or train the teacher with --train-teacher"
    if not path.is_file():
        raise CheckpointError(f"{path}: found no such file, expected the shipped teacher's weights; {advice}")
    if (found := file_sha256(path)) != expected:
        raise CheckpointError(
            f"{path}: got a file with SHA-256 {found[:16]}..., expected {expected[:16]}..., which the recipe names; "
            f"it is damaged or of another version: {advice}"
        )


def _halved(generator: Generator) -> Generator:
    state = {name: each.half() if each.is_floating_point() else each for name, each in generator.state.items()}
    for name, tensor in state.items():
        if not tensor.isfinite().all():
            raise CheckpointError(
                f"{generator.family}: '{name}': got weights beyond the range of half precision, expected at most "
                "65504 in size; ship another teacher"
            )
    return replace(generator, state=state)


def _in_float32(generator: Generator) -> Generator:
    state = {name: each.float() if each.is_floating_point() else each for name, each in generator.state.items()}
    return replace(generator, state=state)
