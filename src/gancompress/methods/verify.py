"""Verification of a search: rank correlation of plans with the supernet's weights and after fine-tuning."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

from accelerate import PartialState
from torch import nn

from gancompress.architecture_search import plans_at_budget
from gancompress.channels import ChannelPlan
from gancompress.errors import ConfigError
from gancompress.evaluation import RankAgreement, rank_agreement
from gancompress.io import write_atomically
from gancompress.methods.budget import Budget
from gancompress.methods.candidates import Candidates
from gancompress.methods.costs import silent
from gancompress.methods.data import Data
from gancompress.methods.evaluate import Metric
from gancompress.methods.search import prepare
from gancompress.methods.supernet import Supernet

MIN_PLANS = 4
"""Smallest number of plans for a rank correlation."""

_RESULT_FILE = "result.json"

FineTune = Callable[[ChannelPlan, nn.Module, Path], nn.Module]
"""Function of a plan, its network and a directory for checkpoints; returns the fine-tuned network."""


@dataclass(frozen=True)
class VerifiedPlan:
    """A plan before and after fine-tuning.

    Attributes:
        plan: The plan as text.
        cost: Cost in the unit of the budget.
        before: Metrics with the supernet's weights, by name.
        after: The same metrics after fine-tuning.
    """

    plan: str
    cost: float
    before: dict[str, float]
    after: dict[str, float]


@dataclass(frozen=True)
class Verification:
    """Agreement of a search's metric with the quality after fine-tuning, over random plans at the budget.

    Attributes:
        metric: Name of the metric.
        agreement: Rank correlations of the metric before fine-tuning with the metric after it.
        plans: The plans.
    """

    metric: str
    agreement: RankAgreement
    plans: tuple[VerifiedPlan, ...]

    def __str__(self) -> str:
        return f"{self.metric} before and after fine-tuning {len(self.plans)} plans: {self.agreement}"

    def facts(self) -> dict[str, Any]:
        """Return the facts of a step's record."""
        return {
            "agreement": asdict(self.agreement),
            "verified": [asdict(each) for each in self.plans],
            "note": str(self),
        }


def verify_search(
    supernet: Supernet,
    finetune: Callable[[nn.Module], nn.Module],
    *,
    budget: Budget,
    metric: Metric = "psnr",
    batches: Data,
    better: Literal["higher", "lower"] = "higher",
    calibration: Data | None = None,
    plans: int = 12,
    budget_tolerance: float = 0.02,
    max_images: int | None = None,
    out: str | Path | None = None,
    seed: int = 0,
    say: Callable[[str], None] = silent,
) -> Verification:
    """Verify the metric of a search: fine-tune random plans at the budget, and correlate their ranks before and after.

    With ``out``, the same call resumes with the plans that are left.

    Args:
        supernet: The trained supernet.
        finetune: Function that trains a network of the supernet as the best one will be trained, and returns it.
        budget: Cost of the plans, as for `gancompress.search`.
        metric: Metric of the search.
        batches: Images of the search.
        better: Whether higher or lower values of the metric are better.
        calibration: Batches for the statistics of batch norms; ``batches`` by default.
        plans: Number of plans; the interval of a rank correlation over 12 plans is about 0.5 wide at best.
        budget_tolerance: Largest shortfall of their costs below the budget, as a fraction of it.
        max_images: Images that every network is evaluated on; all by default.
        out: Directory of finished plans; by default nothing is saved.
        seed: Seed of the plans.
        say: Receives messages.

    Raises:
        BudgetError: There are fewer plans at the budget.
        ConfigError: There are fewer than 4 plans, or ``finetune`` returns no module.
        DataError: There are no batches, or some are of an unknown kind.
    """
    if plans < MIN_PLANS:
        raise ConfigError(f"verify_search: plans: got {plans}, expected at least {MIN_PLANS} for a rank correlation")
    candidates, proxy = prepare(
        supernet, budget, metric, batches, better, calibration, max_images=max_images, out=out, seed=seed
    )

    def trained(plan: ChannelPlan, network: nn.Module, directory: Path) -> nn.Module:
        tuned = finetune(network)
        if not isinstance(tuned, nn.Module):
            raise ConfigError(
                f"verify_search: finetune returned {type(tuned).__name__}, expected the trained module; return "
                "gancompress.distill(...).module, for example"
            )
        return tuned

    with TemporaryDirectory() as temporary:
        directory = Path(temporary if out is None else out) / "verify"
        return verified(
            candidates, proxy.name, proxy.of, trained, plans, budget_tolerance, directory, seed=seed, say=say
        )


def verified(
    candidates: Candidates,
    metric: str,
    measure: Callable[[nn.Module], Mapping[str, float]],
    finetune: FineTune,
    num_plans: int,
    tolerance: float,
    directory: Path,
    *,
    seed: int = 0,
    say: Callable[[str], None] = silent,
) -> Verification:
    """Fine-tune random plans at the budget, and correlate the ranks of a metric before and after.

    Args:
        candidates: Candidate networks of the supernet.
        metric: Name of the metric, of one direction before and after.
        measure: Returns the metrics of a network by name.
        finetune: Trains the network of a plan.
        num_plans: Number of plans.
        tolerance: Largest shortfall of their costs below the budget, as a fraction of it.
        directory: Directory of the plans; finished ones are not trained again.
        seed: Seed of the plans.
        say: Receives messages.

    Raises:
        BudgetError: There are fewer plans at the budget.
    """
    space, limit = candidates.space, candidates.limit
    values = plans_at_budget(
        space, candidates.cost, limit.limit, num_plans, tolerance=tolerance, seed=seed, unit=limit.unit
    )
    plans = {space.text(each): space.plan(each) for each in values}
    found = fine_tuned(plans, candidates, measure, finetune, directory, say)
    return Verification(metric, agreement(found, metric, metric), tuple(found))


def fine_tuned(
    plans: Mapping[str, ChannelPlan],
    candidates: Candidates,
    measure: Callable[[nn.Module], Mapping[str, float]],
    finetune: FineTune,
    directory: Path,
    say: Callable[[str], None] = silent,
) -> list[VerifiedPlan]:
    """Evaluate plans of a supernet, fine-tune each separately, and evaluate them again.

    Args:
        plans: The plans, by their text.
        candidates: Candidate networks of the supernet.
        measure: Returns the metrics of a network by name.
        finetune: Trains the network of a plan.
        directory: Directory of the plans; finished ones are not trained again.
        say: Receives messages.
    """
    processes, found = PartialState(), []
    for number, (name, plan) in enumerate(plans.items(), start=1):
        file = directory / name / _RESULT_FILE
        if not file.is_file():
            if processes.is_main_process:
                say(f"verify: fine-tuning plan {number} of {len(plans)}, {name}")
            network = candidates.network(plan)
            before = dict(measure(network))
            after = dict(measure(finetune(plan, network, file.parent)))
            if processes.is_main_process:
                file.parent.mkdir(parents=True, exist_ok=True)
                result = VerifiedPlan(name, candidates.cost(plan), before, after)
                write_atomically(file, json.dumps(asdict(result), indent=1).encode())
            processes.wait_for_everyone()
        found.append(VerifiedPlan(**json.loads(file.read_text())))
    return found


def agreement(plans: Sequence[VerifiedPlan], before: str, after: str) -> RankAgreement:
    """Return the rank correlation of one metric before fine-tuning with one after it, both with the same direction."""
    return rank_agreement([each.before[before] for each in plans], [each.after[after] for each in plans])
