"""Files of the work that a step leaves for the next one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from gancompress.io.trust import Trust
from gancompress.jobs.steps import Work
from gancompress.networks.generator import Generator
from gancompress.quantization import Quantization


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
    found = {part: directory / part for part in ("discriminator", "uncut")}
    return replace(work, **{part: Generator.load(each, trust=trust) for part, each in found.items() if each.is_dir()})


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
