"""Verification of a search by fine-tuning random plans at the budget."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

from pydantic import Field
from torch import nn

from gancompress.channels import ChannelPlan
from gancompress.jobs.steps.distill import Finetune
from gancompress.jobs.steps.step import Goal, StepRun, Work
from gancompress.methods.candidates import Candidates, Proxy
from gancompress.methods.verify import MIN_PLANS, FineTune, Verification, verified
from gancompress.networks.cut import cut
from gancompress.networks.generator import Generator
from gancompress.objectives.distillation_options import DistillationOptions
from gancompress.options import Options
from gancompress.tasks.inputs import Inputs
from gancompress.training import TrainingOptions


class VerifyOptions(Options):
    """Random plans at the budget that are fine-tuned separately, to check the ranking of the search.

    Attributes:
        num_plans: Number of plans; the interval of a rank correlation over 12 plans is about 0.5 wide at best.
        distillation: Weights of the terms of fine-tuning; those of the ``finetune`` step make the check fair.
        training: Options of the fine-tuning of each plan.
    """

    num_plans: Annotated[int, Field(ge=MIN_PLANS)] = 12
    distillation: DistillationOptions = DistillationOptions()
    training: TrainingOptions = TrainingOptions()


def finetuning(
    options: VerifyOptions, candidates: Candidates, work: Work, inputs: Inputs, run: StepRun, goal: Goal
) -> FineTune:
    """Return a function that fine-tunes the network of a plan like the step ``finetune``, in a separate directory."""
    step = Finetune(distillation=options.distillation, training=options.training)

    def tuned(plan: ChannelPlan, network: nn.Module, directory: Path) -> nn.Module:
        narrow = replace(work, generator=generator_at(plan, network, candidates, work))
        return step.run(narrow, inputs, replace(run, directory=directory), goal).build()

    return tuned


def verified_by(
    options: VerifyOptions, candidates: Candidates, proxy: Proxy, tune: FineTune, tolerance: float, run: StepRun
) -> Verification:
    """Return the rank correlation of a proxy with itself after fine-tuning; finished plans are not trained again."""
    return verified(
        candidates,
        proxy.name,
        proxy.of,
        tune,
        options.num_plans,
        tolerance,
        run.directory / "verify",
        seed=run.seed,
        say=run.log.said,
    )


def generator_at(plan: ChannelPlan, network: nn.Module, candidates: Candidates, work: Work) -> Generator:
    """Return the work's generator at a plan, with the weights and statistics of a network."""
    return cut(work.generator, candidates.graph, plan).with_weights_of(network.cpu())
