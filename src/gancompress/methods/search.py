"""Search for the best network of a supernet within a budget, by any metric."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from gancompress.architecture_search import Candidate, Objective, SearchOptions, SearchResult
from gancompress.architecture_search import search as run_search
from gancompress.channels import ChannelGraph, ChannelPlan, materialise
from gancompress.cost import amount, filled_plan
from gancompress.errors import BudgetError
from gancompress.methods.budget import Budget
from gancompress.methods.data import Batches, Data
from gancompress.methods.evaluate import Metric, evaluate
from gancompress.methods.progress import Progress, Report, reporting
from gancompress.methods.recalibrate import recalibrate
from gancompress.methods.supernet import Supernet

STORAGE_FILE = "search.journal"
_CALIBRATION_IMAGES = 512
_NAME = "metric"


@dataclass(frozen=True)
class Found:
    """The result of a search.

    Attributes:
        module: The best network, with the supernet's weights, in evaluation mode.
        plan: Its plan.
        cost: Its cost, in ``unit``.
        unit: Unit of the budget.
        value: Its metric, before single groups were widened to use up the budget.
        candidates: All evaluated candidates.
    """

    module: nn.Module
    plan: ChannelPlan
    cost: float
    unit: str
    value: float
    candidates: tuple[Candidate, ...]

    def __str__(self) -> str:
        return f"{amount(self.cost, self.unit)}, metric {self.value:.4g}, the best of {len(self.candidates)} candidates"


def search(
    supernet: Supernet,
    *,
    budget: Budget,
    metric: Metric = "psnr",
    batches: Data,
    better: Literal["higher", "lower"] = "higher",
    calibration: Data | None = None,
    candidates: int | None = None,
    options: SearchOptions | None = None,
    max_images: int | None = None,
    out: str | Path | None = None,
    progress: bool | Report = True,
    seed: int = 0,
) -> Found:
    """Find the best network of a supernet within a budget.

    With ``out``, the same call resumes where it was stopped, and other processes with the same call share the work.

    Args:
        supernet: The supernet, trained with `gancompress.distill`.
        budget: Cost not to exceed.
        metric: ``psnr`` to the network that the supernet was made from; a function of (network, batches); or a
            function of the outputs of a batch, averaged over the images.
        batches: Images on which candidates are compared; report the result on other images.
        better: Whether higher or lower values of the metric are better.
        calibration: Batches for the statistics of batch norms; ``batches`` by default.
        candidates: The most candidates to evaluate; ten populations by default.
        options: Search method and its parameters.
        max_images: Images that every candidate is evaluated on; all by default.
        out: Directory of the search's journal; by default nothing is saved.
        progress: True shows the progress, False does not; or a function that is called with it.
        seed: Seed of the search.

    Raises:
        BudgetError: No plan meets the budget, or no candidate has a finite metric.
        ConfigError: The metric returns no number, or ``out`` holds another search.
        DataError: There are no batches, or some are of an unknown kind.

    Source: Li et al., GAN Compression, CVPR 2020, section 3.4.
    """
    held = list(Batches(batches, "batches"))
    given = Batches(held if calibration is None else calibration, "calibration")
    inputs = list(given.inputs(_CALIBRATION_IMAGES))
    limit = budget.limit(supernet.graph)
    cost = limit.cost(supernet.graph)
    made = Candidates(supernet.module, supernet.graph, inputs)

    def measured(plan: ChannelPlan) -> Mapping[str, float]:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            return evaluate(made.network(plan), held, {_NAME: metric}, teacher=supernet.original, max_images=max_images)

    with reporting("search", progress) as log:
        result = run_search(
            supernet.space,
            cost,
            limit.limit,
            measured,
            Objective(metric=_NAME, direction="maximize" if better == "higher" else "minimize"),
            options or _options(candidates),
            storage=_storage(out),
            seed=seed,
            unit=limit.unit,
            progress=lambda found, total: log(_progress(found, total)),
        )
    best = result.best
    if best is None:
        raise BudgetError("search: no candidate has a finite metric; train the supernet longer, or check the metric")
    plan = filled_plan(supernet.legal, cost, limit.limit, best.plan)
    network = made.network(plan)
    return Found(network, plan, cost(plan), limit.unit, best.metrics[_NAME], result.candidates)


class Candidates:
    """Networks of a supernet, with running statistics recalibrated for each plan."""

    def __init__(self, module: nn.Module, graph: ChannelGraph, calibration: Iterable[Tensor]) -> None:
        """Store the wide network, its graph, and the inputs for recalibration."""
        self._module, self._graph, self._calibration = module, graph, calibration

    def network(self, plan: ChannelPlan) -> nn.Module:
        """Return the network of a plan, in evaluation mode."""
        network = materialise(self._module, self._graph, plan).eval()
        recalibrate(network, self._calibration)
        return network


def _options(candidates: int | None) -> SearchOptions:
    if candidates is None:
        return SearchOptions()
    return SearchOptions(num_candidates=candidates, population=max(8, min(100, candidates // 5)))


def _storage(out: str | Path | None) -> Path | None:
    if out is None:
        return None
    Path(out).mkdir(parents=True, exist_ok=True)
    return Path(out) / STORAGE_FILE


def _progress(found: SearchResult, total: int) -> Progress:
    values: dict[str, Any] = {} if found.best is None else {"best": found.best.metrics[_NAME]}
    return Progress("search", "", len(found.candidates), total, "candidates", values=values)
