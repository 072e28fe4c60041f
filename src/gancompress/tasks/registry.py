"""The registry: every task by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gancompress.data import DataConfig
from gancompress.errors import ConfigError, nearest
from gancompress.options import OptionsError
from gancompress.tasks.latent import LatentOptions, LatentTask
from gancompress.tasks.semantic import SemanticOptions, SemanticTask
from gancompress.tasks.stylize import StylizeTask
from gancompress.tasks.task import Task

TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        Task("paired", paired=True),
        Task("unpaired", paired=False),
        LatentTask(),
        SemanticTask(),
        StylizeTask(),
    )
}
"""Tasks with the options that they have by themselves."""

TaskOptions = LatentOptions | SemanticOptions
"""Options of those tasks that have some."""

_OPTIONS: dict[str, type[TaskOptions]] = {"latent": LatentOptions, "semantic": SemanticOptions}


def find_task(task: str | TaskOptions, data: DataConfig | None = None) -> Task:
    """The task of this name, or with these options.

    Args:
        task: Its name or options.
        data: The data set, for the task that depends on it: what labels mean.

    Raises:
        ConfigError: There is none (the message ends with the nearest name), or the data set does not fit it.
    """
    if isinstance(task, LatentOptions):
        return LatentTask(latent_size=task.latent_size, classes=task.classes)
    if isinstance(task, SemanticOptions):
        return SemanticTask.of(task, data)
    if task == "semantic":
        return SemanticTask.of(SemanticOptions(), data)
    if task not in TASKS:
        raise ConfigError(f"task: got '{task}', expected a known one; {nearest(task, TASKS)}")
    return TASKS[task]


def parse_task(task: Any) -> str | TaskOptions:
    """A task as a recipe writes it: a name, or a mapping of ``kind`` and options.

    Raises:
        ConfigError: There is no such task, or it has no such options.
    """
    if isinstance(task, TaskOptions):
        return task
    name = task.get("kind") if isinstance(task, Mapping) else task
    if not isinstance(name, str) or name not in TASKS:
        where = "kind" if isinstance(task, Mapping) else ""
        raise OptionsError([(where, f"got {name!r}, expected a task; {nearest(str(name), TASKS)}")])
    if not isinstance(task, Mapping):
        return name
    if name not in _OPTIONS:
        raise OptionsError([("", f"got options for '{name}', which has none; write its name alone")])
    return _OPTIONS[name](**task)
