"""The registry: every task by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gancompress.errors import ConfigError, nearest
from gancompress.options import OptionsError
from gancompress.tasks.latent import LatentOptions, LatentTask
from gancompress.tasks.stylize import StylizeTask
from gancompress.tasks.task import Task

TASKS: dict[str, Task] = {
    task.name: task
    for task in (Task("paired", paired=True), Task("unpaired", paired=False), LatentTask(), StylizeTask())
}
"""Tasks with the options that they have by themselves."""


def find_task(task: str | LatentOptions) -> Task:
    """The task of this name, or with these options.

    Raises:
        ConfigError: There is none; the message ends with the nearest name.
    """
    if isinstance(task, LatentOptions):
        return LatentTask(latent_size=task.latent_size, classes=task.classes)
    if task not in TASKS:
        raise ConfigError(f"task: got '{task}', expected a known one; {nearest(task, TASKS)}")
    return TASKS[task]


def parse_task(task: Any) -> str | LatentOptions:
    """A task as a recipe writes it: a name, or a mapping of ``kind`` and options.

    Raises:
        ConfigError: There is no such task, or it has no such options.
    """
    if isinstance(task, LatentOptions):
        return task
    name = task.get("kind") if isinstance(task, Mapping) else task
    if not isinstance(name, str) or name not in TASKS:
        where = "kind" if isinstance(task, Mapping) else ""
        raise OptionsError([(where, f"got {name!r}, expected a task; {nearest(str(name), TASKS)}")])
    if not isinstance(task, Mapping):
        return name
    if name != "latent":
        raise OptionsError([("", f"got options for '{name}', which has none; write its name alone")])
    return LatentOptions(**task)
