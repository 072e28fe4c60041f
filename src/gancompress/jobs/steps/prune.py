"""Pruning: keep the most important channels of every group and the most important blocks, as a plan says."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from gancompress.channels import ChannelGraph, ChannelPlan
from gancompress.importance import BLOCK_SCORES, AnyScore, Probe, find_score
from gancompress.jobs.steps.facts import joined
from gancompress.jobs.steps.narrowing import Narrowing
from gancompress.jobs.steps.recalibration import recalibrated
from gancompress.jobs.steps.refit import RefitOptions
from gancompress.jobs.steps.step import Goal, StepRun, Work, register_step
from gancompress.methods.budget import CostLimit
from gancompress.methods.depth import best_depth, left_out_by, ordered_blocks
from gancompress.methods.generators import sort
from gancompress.networks.cut import cut
from gancompress.networks.generator import Generator
from gancompress.networks.given import Given
from gancompress.tasks.inputs import Inputs


@register_step
class Prune(Narrowing):
    """Step that removes the least important channels of every group without training, a baseline for other steps.

    Attributes:
        score: Importance score of channels.
        depth: Fraction of the residual blocks that stay, the least important are left out. With ``auto``, few narrow
            blocks and few blocks of full width are tried within the budget, and the network nearest to the work's
            generator is taken. By default all blocks stay.
        block_score: Importance score of blocks.
        refit: If given, the remaining layers are refitted by least squares.
    """

    kind = "prune"

    score: AnyScore = "l1_incoming"
    depth: Annotated[float, Field(ge=0, le=1)] | Literal["auto"] | None = None
    block_score: Annotated[str, AfterValidator(BLOCK_SCORES.known)] = "output_error"
    refit: RefitOptions | None = None

    @model_validator(mode="after")
    def _auto_within_a_budget(self) -> Self:
        if self.depth == "auto" and not self.uses_budget:
            raise ValueError(
                "depth: got 'auto' with keep or widths, expected a budget alone; leave keep and widths out"
            )
        return self

    def blocks(self, wide: Generator, graph: ChannelGraph, inputs: Inputs, run: StepRun) -> tuple[str, ...]:
        """Return the blocks to leave out. Raises ConfigError if ``depth`` finds none."""
        named = super().blocks(wide, graph, inputs, run)
        if self.depth is None or self.depth == "auto":
            return named
        return (*named, *left_out_by(self.depth, self._ordered(wide, graph, inputs, run)[0]))

    def widest(
        self,
        wide: Generator,
        graph: ChannelGraph,
        cost: Callable[[ChannelPlan], float],
        budget: CostLimit,
        left_out: tuple[str, ...],
        inputs: Inputs,
        run: StepRun,
    ) -> ChannelPlan:
        """Return the widest plan within a budget at the depth. Raises BudgetError if there is none."""
        if self.depth != "auto":
            return super().widest(wide, graph, cost, budget, left_out, inputs, run)
        order, images = self._ordered(wide, graph, inputs, run)
        network = sorted_by(self.score, wide, inputs, run).build().to(run.device)
        refitted = self.refit is not None
        return best_depth(
            *(network, graph, cost, budget, order, images),
            left_out=left_out,
            refitted=refitted,
            seed=run.seed,
            say=run.log.said,
        )

    def check_network(self, network: Generator, inputs: Inputs, run: StepRun, goal: Goal) -> None:
        """Check that the refit has images enough; if blocks are left out, it is not known yet how many it needs."""
        if self.refit is not None and self.depth is None and not self.left_out:
            self.refit.check_images(network, *self.plan(network, inputs, run, goal.budget), inputs, run.seed)

    def _ordered(
        self, wide: Generator, graph: ChannelGraph, inputs: Inputs, run: StepRun
    ) -> tuple[tuple[str, ...], Given]:
        """Return the blocks, the least important first, and the images that they were scored on."""
        images = (self.refit or RefitOptions()).images(wide, inputs, run.seed).to(run.device)
        return ordered_blocks(wide.build().to(run.device), graph, images, self.block_score), images

    def run(self, work: Work, inputs: Inputs, run: StepRun, goal: Goal) -> Work:
        """Prune the work's generator. Raises as `Narrowing.plan`, and as `best_depth` and `ordered_blocks`."""
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
