"""Pruning: keep the most important channels of every group, at the widths of a plan."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from gancompress.importance import AnyScore, Probe, find_score
from gancompress.jobs.steps.facts import joined
from gancompress.jobs.steps.narrowing import Narrowing
from gancompress.jobs.steps.recalibration import recalibrated
from gancompress.jobs.steps.refit import RefitOptions
from gancompress.jobs.steps.step import Goal, StepRun, Work, register_step
from gancompress.methods.generators import sort
from gancompress.networks.cut import cut
from gancompress.networks.generator import Generator
from gancompress.tasks.inputs import Inputs


@register_step
class Prune(Narrowing):
    """Step that removes the least important channels of every group without training, a baseline for other steps.

    Attributes:
        score: Importance score of channels.
        refit: If given, the remaining layers are refitted by least squares.
    """

    kind = "prune"

    score: AnyScore = "l1_incoming"
    refit: RefitOptions | None = None

    def run(self, work: Work, inputs: Inputs, run: StepRun, goal: Goal) -> Work:
        """Prune the work's generator."""
        graph, plan = self.plan(work.generator, inputs, run, goal.budget)
        wide = sorted_by(self.score, work.generator, inputs, run)
        narrow = cut(wide, graph, plan)
        facts = self.latency(work.generator, graph, plan, narrow, inputs, run, goal.budget)
        if self.refit is not None:
            narrow, fitted = self.refit.refit(narrow, wide, graph, plan, inputs, run)
            facts = joined(facts, fitted)
        return recalibrated(replace(work, generator=narrow, facts=facts, uncut=wide), inputs, run.device)


def sorted_by(score: AnyScore, generator: Generator, inputs: Inputs, run: StepRun) -> Generator:
    """Sort by a score of a recipe; scores that run the generator use the training data of the job.

    Raises:
        GanCompressError: The score does not apply to the generator, or to the data.
    """
    graph = inputs.graph(generator)

    def batches(num_images: int, batch_size: int) -> Iterable[Mapping[str, Any]]:
        for batch in inputs.images("train", batch_size, num_images):
            yield {**batch, "input": inputs.task.encode(batch["input"]), "name": inputs.task.names(batch)}

    network = generator.build().to(run.device)
    return sort(generator, graph, find_score(score, Probe(network, batches, run.seed)))
