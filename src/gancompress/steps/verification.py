"""Verification of a search: rank correlation of plans with the supernet's weights and after fine-tuning."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated

from pydantic import Field
from torch import nn

from gancompress.channels import ChannelPlan
from gancompress.evaluation import RankAgreement, rank_agreement
from gancompress.io import write_atomically
from gancompress.networks.generator import Generator
from gancompress.objectives.distillation import DistillationOptions
from gancompress.options import Options
from gancompress.steps.distill import Finetune
from gancompress.steps.step import Context, Work
from gancompress.training import TrainingOptions

MIN_PLANS = 4
"""Smallest number of plans for a rank correlation."""

_RESULT_FILE = "result.json"


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


@dataclass(frozen=True)
class VerifiedPlan:
    """A plan before and after fine-tuning.

    Attributes:
        plan: The plan in words.
        cost: Cost in the unit of the budget.
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
    """Evaluate plans of a supernet, fine-tune each separately, and evaluate them again.

    Finished plans are kept in the step's directory, from which the same call continues.

    Args:
        plans: The plans, by their names.
        cost: Cost of a plan.
        cut: Returns the network of a plan, with the supernet's weights.
        measure: Returns the metrics of a network.
        options: Options of the fine-tuning.
        work: The teacher, and the initial discriminator of each plan.
        context: Context of the step.

    Raises:
        Interrupted: The user asked to stop.
        GanCompressError: Raised by `Finetune.run`.
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
    """Return the rank correlation of one metric before fine-tuning with one after it, both with the same direction."""
    return rank_agreement([each.before[before] for each in plans], [each.after[after] for each in plans])


def _keep(file: Path, plan: VerifiedPlan, context: Context) -> None:
    if context.accelerator.is_main_process:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, json.dumps(asdict(plan), indent=1).encode())
    context.accelerator.wait_for_everyone()
