"""Selection of the runtimes that networks and exported files are timed on."""

from __future__ import annotations

from collections.abc import Sequence

from gancompress.deploy import Mode, find_mode, known_modes, known_runtimes
from gancompress.deploy.named import NamedFile, NamedNetwork
from gancompress.errors import ConfigError, ExportError

Candidate = NamedNetwork | NamedFile
"""A network or a file to time."""


def available_runtimes(candidates: Sequence[Candidate] = ()) -> list[str]:
    """Return the names of modes that run all candidates on this machine, except those that take long to start.

    Raises:
        ConfigError: No runtime runs all candidates.
    """
    found = [
        mode.name
        for runtime in known_runtimes().values()
        for mode in runtime.modes
        if not mode.on_request and runtime.unavailable(mode) is None and all(_runs(mode, each) for each in candidates)
    ]
    if not found:
        what = " and ".join(str(each.path) for each in candidates if isinstance(each, NamedFile))
        endings = list(dict.fromkeys(ending for mode in known_modes().values() for ending in mode.endings))
        raise ConfigError(
            f"bench: found no installed runtime that runs {what}, expected one for all; give files of one kind "
            f"({', '.join(endings[:-1])} or {endings[-1]}), or install their runtime"
        )
    return found


def check_runtimes(names: Sequence[str], candidates: Sequence[Candidate], batches: Sequence[int]) -> list[str]:
    """Check that runtimes can time all candidates, before anything is exported.

    Args:
        names: Names of modes, or import paths of runtimes.
        candidates: Networks and files.
        batches: Batch sizes.

    Returns:
        The names of the modes.

    Raises:
        ConfigError: There is no such runtime, it cannot run a file, or a batch is too large for it.
        ExportError: The runtime is not available on this machine.
    """
    return [_checked(name, candidates, batches) for name in names]


def _checked(name: str, candidates: Sequence[Candidate], batches: Sequence[int]) -> str:
    runtime, mode = find_mode(name, "--runtime")
    wrong = next((each for each in candidates if not _runs(mode, each)), None)
    if isinstance(wrong, NamedFile):
        able = [other.name for other in known_modes().values() if _runs(other, wrong)]
        raise ConfigError(
            f"{wrong.path}: got the runtime '{mode.name}', expected {' or '.join(able)}, which run {wrong.path.suffix} "
            f"files; for {mode.name} give the directory or the checkpoint of the network"
        )
    if (reason := runtime.unavailable(mode)) is not None:
        raise ExportError(f"--runtime: {mode.name} {reason}")
    if mode.max_batch is not None and max(batches) > mode.max_batch:
        raise ConfigError(
            f"--batch: got {max(batches)} for the runtime '{mode.name}', expected {mode.max_batch}: it runs no more "
            "images at once"
        )
    return mode.name


def _runs(mode: Mode, candidate: Candidate) -> bool:
    return isinstance(candidate, NamedNetwork) or candidate.path.suffix in mode.endings
