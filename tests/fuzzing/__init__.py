"""Trials of `scripts/fuzz.py`: each kind yields them without end, the same ones for the same seed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

from .hostile import directory_trials, weight_trials
from .interrupted import kill_trials, signal_trials
from .reading import command_trials, recipe_trials, run_trials
from .trial import FoundError, Trial

KINDS: dict[str, Callable[[Random, Path], Iterator[tuple[str, Trial]]]] = {
    "recipes": recipe_trials,
    "commands": command_trials,
    "runs": run_trials,
    "kills": kill_trials,
    "signals": signal_trials,
    "weights": weight_trials,
    "directories": directory_trials,
}

__all__ = ["KINDS", "FoundError", "Trial"]
