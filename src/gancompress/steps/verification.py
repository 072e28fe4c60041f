"""Checking a search: how far the order of plans by the supernet agrees with their order after fine-tuning."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated

from pydantic import Field
from torch import nn

from gancompress.channels import ChannelPlan
from gancompress.io import write_atomically
from gancompress.metrics import RankAgreement, rank_agreement
from gancompress.models.generator import Generator
from gancompress.objectives.distillation import DistillationOptions
from gancompress.options import Options
from gancompress.steps.distill import Finetune
from gancompress.steps.step import Context, Work
from gancompress.training import TrainingOptions

MIN_PLANS = 4
"""Fewer plans than this have no order to speak of."""

_RESULT_FILE = "result.json"


class VerifyOptions(Options):
    """Random plans at the budget that are fine-tuned, each by itself, to check the order that the search goes by.

    Attributes:
        num_plans: How many; the interval of a rank correlation over 12 plans is about 0.5 wide at best.
        distillation: Weights of the terms of fine-tuning; those of the ``finetune`` step make the check fair.
        training: How long each plan is fine-tuned, and how.
    """

    num_plans: Annotated[int, Field(ge=MIN_PLANS)] = 12
    distillation: DistillationOptions = DistillationOptions()
    training: TrainingOptions = TrainingOptions()


@dataclass(frozen=True)
class VerifiedPlan:
    """A plan before and after fine-tuning.

    Attributes:
        plan: The plan in words.
        cost: In the unit of the budget.
        before: Metrics with the supernet's weights, by name.
        after: The same metrics after fine-tuning.
    """

    plan: str
    cost: float
    before: dict[str, float]
    after: dict[str, float]


def fine_tuned(
    plans: Mapping[str, ChannelPlan],
    cost: Callable[[ChannelPlan], float],
    cut: Callable[[ChannelPlan], Generator],
    measure: Callable[[nn.Module], Mapping[str, float]],
    options: VerifyOptions,
    work: Work,
    context: Context,
) -> list[VerifiedPlan]:
    """Measure plans of a supernet, fine-tune each by itself, and measure them again.

    What is finished is kept in the step's directory: the same call goes on from there.

    Args:
        plans: The plans, by their names.
        cost: Cost of a plan.
        cut: The network of a plan, with the supernet's weights.
        measure: Metrics of a network.
        options: How each is fine-tuned.
        work: The teacher, and the discriminator that each begins with.
        context: What surrounds the step.

    Raises:
        Interrupted: The user asked to stop.
        GanCompressError: As `Finetune.run`.
    """
    step, found = Finetune(distillation=options.distillation, training=options.training), []
    for number, (name, plan) in enumerate(plans.items(), start=1):
        directory = context.directory / "verify" / name
        file = directory / _RESULT_FILE
        if not file.is_file():
            if context.accelerator.is_main_process:
                context.log.said(f"verify: fine-tunes plan {number} of {len(plans)}, {name}")
            narrow = cut(plan)
            before = dict(measure(narrow.build()))
            tuned = step.run(replace(work, generator=narrow), replace(context, directory=directory)).generator
            _keep(file, VerifiedPlan(name, cost(plan), before, dict(measure(tuned.build()))), context)
        found.append(VerifiedPlan(**json.loads(file.read_text())))
    return found


def agreement(plans: Sequence[VerifiedPlan], before: str, after: str) -> RankAgreement:
    """Rank correlation of one metric before fine-tuning with one after it, both with the same better direction."""
    return rank_agreement([each.before[before] for each in plans], [each.after[after] for each in plans])


def _keep(file: Path, plan: VerifiedPlan, context: Context) -> None:
    if context.accelerator.is_main_process:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, json.dumps(asdict(plan), indent=1).encode())
    context.accelerator.wait_for_everyone()
