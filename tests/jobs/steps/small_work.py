"""A teacher with its discriminator, and what surrounds a step, small enough to search in seconds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from accelerate import Accelerator
from torch import Tensor

from gancompress.cost import CostModel
from gancompress.data import parse_data
from gancompress.evaluation.options import MetricOptions
from gancompress.jobs.steps import Goal, StepRun, Work
from gancompress.methods.budget import CostLimit
from gancompress.networks.generator import Generator
from gancompress.networks.registry import build
from gancompress.objectives.distillation_options import DistillationOptions
from gancompress.tasks import Task, find_task
from gancompress.tasks.inputs import Inputs


class Lines:
    """Keeps what a step reports."""

    def __init__(self) -> None:
        self.lines: list[tuple[int, dict[str, float]]] = []
        self.positions: list[tuple[int, int]] = []

    def progress(self, num_images: int, total_images: int) -> None:
        self.positions.append((num_images, total_images))

    def said(self, line: str) -> None:
        pass

    def searched(self, num_candidates: int, total_candidates: int, best: Mapping[str, float]) -> None:
        self.positions.append((num_candidates, total_candidates))

    def losses(self, num_images: int, values: Mapping[str, float], images_per_second: float) -> None:
        assert images_per_second > 0
        self.lines.append((num_images, dict(values)))

    def preview(self, num_images: int, images: Mapping[str, Tensor]) -> None:
        assert images


def distillation(**options) -> DistillationOptions:
    """Options of a distillation from weights, or options, by the kind of their term."""
    own = {name: options.pop(name) for name in ("reconstruct", "taps", "content", "fixed") if name in options}
    terms = [{"kind": kind, **(term if isinstance(term, dict) else {"weight": term})} for kind, term in options.items()]
    return DistillationOptions(terms=terms, **own)


def make_work(norm: str = "instance") -> Work:
    torch.manual_seed(0)
    config = {"ngf": 8, "num_blocks": 1, "norm": norm}
    generator = Generator.from_module(build("resnet", config), "resnet", config)
    judge = {"ndf": 4, "n_layers": 1, "in_channels": 6}
    return Work(generator, generator, Generator.from_module(build("patchgan", judge), "patchgan", judge))


class Surroundings(NamedTuple):
    """Arguments of a step beside the work."""

    inputs: Inputs
    run: StepRun
    goal: Goal = Goal()


def make_surroundings(
    directory: Path,
    budget: CostLimit | None,
    metrics: MetricOptions | None = None,
    stop: Callable[[], bool] = lambda: False,
    seed: int = 0,
    task: Task | None = None,
) -> Surroundings:
    directory.mkdir(parents=True, exist_ok=True)
    data = parse_data({"kind": "procedural", "image_size": 16, "num_images": {"train": 8, "search": 6, "test": 2}})
    run = StepRun(directory, Lines(), Accelerator(cpu=True), seed, stop)
    goal = Goal(budget, metrics or MetricOptions(batch_size=4))
    return Surroundings(Inputs(task or find_task("paired"), data), run, goal)


def macs_of(work: Work, around: Surroundings) -> int:
    graph = around.inputs.graph(work.generator)
    return CostModel(graph).at(graph.full_plan()).macs.true


def same_weights(a: Generator, b: Generator) -> bool:
    return a.state.keys() == b.state.keys() and all(torch.equal(a.state[n], b.state[n]) for n in a.state)
