"""Files of a run: its job, and the work that a step leaves for the next one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import yaml

from gancompress.io import file_sha256, write_atomically
from gancompress.io.own_files import record_own
from gancompress.io.trust import Trust
from gancompress.jobs.recipe import Job, programs_in
from gancompress.jobs.steps import Work
from gancompress.networks.generator import Generator
from gancompress.quantization import Quantization

_PARTS = ("generator", "discriminator", "uncut")
"""Directories of the networks of some work."""


def save_work(work: Work, directory: Path) -> None:
    """Save the networks of some work other than its teacher."""
    save_network(work, directory / "generator")
    if work.discriminator is not None:
        work.discriminator.save(directory / "discriminator")
    if work.uncut is not None:
        work.uncut.save(directory / "uncut")


def load_work(directory: Path, before: Work | None, trust: Trust = False) -> Work:
    """Load what `save_work` saved; the teacher is that of the work before, or without one the network itself.

    Classes of the work before are expected; ``trust`` is the consent to build others.
    """
    if before is not None and trust is not True:
        networks = before.teacher, before.generator, before.discriminator, before.uncut
        trust = {*(trust or ()), *(network.family for network in networks if network is not None)}
    work = load_network(directory / "generator", before.teacher if before else None, trust)
    found = {part: directory / part for part in _PARTS[1:]}
    return replace(work, **{part: Generator.load(each, trust=trust) for part, each in found.items() if each.is_dir()})


def digests(directory: Path) -> dict[str, str]:
    """Return the SHA-256 of every file of the networks that `save_work` saved, by its path in the directory."""
    files = sorted(file for part in _PARTS for file in (directory / part).glob("*") if file.is_file())
    return {file.relative_to(directory).as_posix(): file_sha256(file) for file in files}


def damaged(directory: Path, expected: Mapping[str, str]) -> list[str]:
    """Return the files of saved networks that are missing, or are not as `digests` found them."""
    found = digests(directory) if expected else {}
    return [name for name, digest in expected.items() if found.get(name) != digest]


def save_job(job: Job, directory: Path) -> None:
    """Write ``job.yaml`` into a run directory, and record that what it names was run here."""
    path = directory / "job.yaml"
    write_atomically(path, yaml.safe_dump(job.model_dump(mode="json"), sort_keys=False).encode())
    for program in programs_in(job):
        record_own(path, program)


def save_teacher(work: Work, directory: Path) -> None:
    """Save the teacher, with its discriminator in ``discriminator/``."""
    work.teacher.save(directory)
    if work.discriminator is not None:
        work.discriminator.save(directory / "discriminator")


def save_network(work: Work, directory: Path) -> None:
    """Save the current network and its quantization."""
    work.generator.save(directory)
    if work.quantization is None:
        Quantization.remove(directory)
    else:
        work.quantization.save(directory)


def load_network(directory: Path, teacher: Generator | None = None, trust: Trust = False) -> Work:
    """Load what `save_network` saved; without a teacher the network is its own."""
    generator = Generator.load(directory, trust=trust)
    return Work(teacher or generator, generator, quantization=Quantization.load(directory))
