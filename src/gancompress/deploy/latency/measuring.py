"""Timing of networks and their parts on a runtime, in a separate process."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor, nn

from gancompress.deploy import export_generator, export_layers, find_format
from gancompress.deploy.benchmark import Task, Worker
from gancompress.deploy.latency.device import Target
from gancompress.networks.architecture import ModuleArchitecture
from gancompress.networks.example_values import example_values
from gancompress.networks.file_form import FileForm
from gancompress.networks.generator import Generator

_ROUNDS = 3
_TURN_MS = 40.0
_MOST_RUNS = 20


def times_of(
    modules: Sequence[nn.Module],
    shapes: Sequence[tuple[int, ...]],
    target: Target,
    say: Callable[[str], None] = lambda line: None,
    rounds: int = _ROUNDS,
) -> list[float]:
    """Return the milliseconds of modules, measured by `time_files`.

    Args:
        modules: Modules in evaluation mode with one input tensor and one output tensor.
        shapes: Shapes of their inputs.
        target: The runtime.
        say: Receives progress messages.
        rounds: Turns of each module.

    Raises:
        ExportError: The runtime is missing, or refuses a module.
    """
    if not modules:
        return []
    with TemporaryDirectory() as folder:
        say(f"{target}: writing {len(modules)} layers and networks")
        inputs = [torch.zeros(shape) for shape in shapes]
        paths = export_layers(modules, inputs, Path(folder), target.mode()[2])
        say(f"{target}: timing them")
        return time_files(paths, shapes, target, rounds)


def time_files(
    paths: Sequence[Path], shapes: Sequence[tuple[int, ...]], target: Target, rounds: int = _ROUNDS
) -> list[float]:
    """Return the milliseconds of files, which take turns in one process.

    The lower quartile of all runs of a file is returned, so that short disturbances of the machine do not count.


    Args:
        paths: The files; for eager, programs or saved generators.
        shapes: Shapes of their inputs.
        target: The runtime.
        rounds: Turns of each file.
    """

    _, mode, _ = target.mode()

    def task(number: int) -> Task:
        return Task(mode.name, paths[number], (example_values(shapes[number]),), target.threads)

    runs: list[list[float]] = [[] for _ in paths]
    with Worker() as worker:
        for _ in range(rounds):
            for number, own in enumerate(runs):
                worker.open(task(number))
                first = worker.times(2, settle_ms=0).wall_ms  # no settling time: nothing else has run
                own += first
                own += worker.times(max(1, min(_MOST_RUNS, round(_TURN_MS / min(first)))), settle_ms=0).wall_ms
    return [statistics.quantiles(own, n=4, method="inclusive")[0] for own in runs]


def measure_network(generator: Generator, example: Tensor, target: Target) -> float:
    """Return the milliseconds of a whole network as deployed; its file is checked against PyTorch before timing.

    Args:
        generator: The network.
        example: An input of it, batch 1.
        target: The runtime.

    Raises:
        ExportError: The runtime is missing, or the network cannot be exported.
    """
    with TemporaryDirectory() as folder:
        path = Path(folder, "network")
        _, mode, layer_format = target.mode()
        if mode.format is None and isinstance(generator.architecture, ModuleArchitecture):
            # A process of its own cannot build the module, so its recorded operations run, as those of its parts did.
            (path,) = export_layers([generator.build()], [example], Path(folder), layer_format)
        elif mode.format is None:
            generator.save(path)
        else:
            path = path / find_format(layer_format)[1].file_name
            export_generator(generator, FileForm(generator.build(), (example,)), path, layer_format)
        return time_files([path], [tuple(example.shape)], target, rounds=2 * _ROUNDS)[0]
