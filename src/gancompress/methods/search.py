"""Search for the best network of a supernet within a budget, by any metric."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from torch import Tensor, nn

from gancompress.architecture_search import Candidate, SearchOptions, SearchResult
from gancompress.channels import ChannelPlan
from gancompress.cost import amount
from gancompress.deploy.latency import variants_of_space
from gancompress.methods.best_plan import STORAGE_FILE, Choice, Difference, best_plan, certainty
from gancompress.methods.budget import Budget
from gancompress.methods.candidates import Candidates, Proxy
from gancompress.methods.costs import (
    TABLE_FILE,
    MeasuredLatency,
    cost_of_plans,
    measured_latency,
    silent,
    single_image,
)
from gancompress.methods.data import Batches, Data
from gancompress.methods.evaluate import Metric, evaluate, values_per_image
from gancompress.methods.progress import Progress, Report, reporting
from gancompress.methods.supernet import Supernet
from gancompress.training import Batch

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
        value: Its metric, before single groups were widened to use up the budget; NaN for a random plan, which is not
            measured.
        candidates: All evaluated candidates.
        differences: Paired differences of the next best candidates from the chosen one, with 95 % intervals over the
            images; None for metrics that are no function of the outputs.
        latency: Measured and predicted latency of the module, if the budget is one.
    """

    module: nn.Module
    plan: ChannelPlan
    cost: float
    unit: str
    value: float
    candidates: tuple[Candidate, ...]
    differences: tuple[Difference, ...] | None = None
    latency: MeasuredLatency | None = None

    def __str__(self) -> str:
        text = f"{amount(self.cost, self.unit)}, metric {self.value:.4g}, the best of {len(self.candidates)} candidates"
        if math.isnan(self.value):
            text = f"{amount(self.cost, self.unit)}, a random plan, not measured"
        measured = "" if self.latency is None else f"{self.latency.measured_ms:.2f} ms measured"
        return "; ".join(filter(None, [text, certainty(self.differences), measured]))


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
    storage: str | None = None,
    progress: bool | Report = True,
    seed: int = 0,
) -> Found:
    """Find the best network of a supernet within a budget.

    With ``out``, the same call resumes where it was stopped, and other processes with the same call share the work;
    with ``storage`` those of other machines do, too, as long as their supernets have the same weights.

    Args:
        supernet: The supernet, trained with `gancompress.distill`.
        budget: Cost not to exceed. The parts of the network are timed on this machine for a budget in milliseconds.
        metric: ``psnr`` to the network that the supernet was made from; a function of (network, batches); or a
            function of the outputs of a batch, averaged over the images.
        batches: Images on which candidates are compared; report the result on other images.
        better: Whether higher or lower values of the metric are better.
        calibration: Batches for the statistics of batch norms; ``batches`` by default.
        candidates: The most candidates to evaluate; ten populations by default.
        options: Search method and its parameters.
        max_images: Images that every candidate is evaluated on; all by default.
        out: Directory of the search's journal; by default nothing is saved.
        storage: URL of a database, such as ``postgresql://user@host/name``, instead of the journal. The password is
            read from the URL or from ``PGPASSWORD``.
        progress: True shows the progress, False does not; or a function that is called with it.
        seed: Seed of the search.

    Raises:
        BudgetError: No plan meets the budget, or no candidate has a finite metric.
        ConfigError: The metric returns no number, ``out`` holds another search, the database cannot be opened, or
            the budget is a latency and the network takes several inputs.
        DataError: There are no batches, or some are of an unknown kind.
        ExportError: The runtime of a latency is not installed, or rejects the network.
        TrainingError: The database was lost.

    Source: Li et al., GAN Compression, CVPR 2020, section 3.4.
    """
    with reporting("search", progress) as log:
        made, proxy = prepare(
            *(supernet, budget, metric, batches, better, calibration),
            max_images=max_images,
            out=out,
            seed=seed,
            say=log.said,
        )
        choice = best_plan(
            made,
            proxy,
            options or _options(candidates),
            storage=storage or _file(out, STORAGE_FILE),
            seed=seed,
            name=made.digest if storage else "search",
            progress=lambda found, total: log(_progress(found, total)),
        )
    network = made.network(choice.plan)
    latency = measured_latency(made.limit, network, single_image(supernet.x), choice.cost)
    return _found(choice, network, latency)


def prepare(
    supernet: Supernet,
    budget: Budget,
    metric: Metric,
    batches: Data,
    better: Literal["higher", "lower"],
    calibration: Data | None,
    *,
    max_images: int | None,
    out: str | Path | None,
    seed: int,
    say: Callable[[str], None] = silent,
) -> tuple[Candidates, Proxy]:
    """Return the candidates of a supernet and their proxy; arguments and errors are those of `search`."""
    held = list(Batches(batches, "batches"))
    inputs = Batches(held if calibration is None else calibration, "calibration").inputs(_CALIBRATION_IMAGES)
    limit = budget.limit(supernet.graph)
    cost = cost_of_plans(
        limit,
        supernet.module,
        supernet.graph,
        single_image(supernet.x),
        lambda: variants_of_space(supernet.space),
        table=_file(out, TABLE_FILE),
        say=say,
    )
    proxy = MetricProxy(metric, held, better, supernet.original, max_images, seed)
    module, space = supernet.module, supernet.space
    return Candidates(module, supernet.graph, supernet.legal, space, limit, cost, list(inputs)), proxy


class MetricProxy(Proxy):
    """Proxy by a function, or by PSNR to the original network."""

    def __init__(
        self,
        metric: Metric,
        batches: list[Batch],
        better: Literal["higher", "lower"],
        original: nn.Module,
        max_images: int | None,
        seed: int,
    ) -> None:
        """Create a proxy on batches; see `search`."""
        super().__init__(_NAME, better, seed)
        self._metric, self._batches, self._original, self._max_images = metric, batches, original, max_images

    def measure(self, network: nn.Module) -> float:
        """Return the metric of a network."""
        named = {_NAME: self._metric}
        return evaluate(network, self._batches, named, teacher=self._original, max_images=self._max_images)[_NAME]

    def measure_each(self, network: nn.Module) -> Tensor | None:
        """Return the metric of each image, for a function of outputs that returns one value for each image."""
        return values_per_image(network, self._batches, self._metric, max_images=self._max_images)


def _found(choice: Choice, network: nn.Module, latency: MeasuredLatency | None) -> Found:
    return Found(
        network,
        choice.plan,
        choice.cost,
        choice.unit,
        choice.chosen.metrics[_NAME],
        choice.result.candidates,
        choice.differences,
        latency,
    )


def _options(candidates: int | None) -> SearchOptions:
    if candidates is None:
        return SearchOptions()
    return SearchOptions(num_candidates=candidates, population=max(8, min(100, candidates // 5)))


def _file(out: str | Path | None, name: str) -> Path | None:
    if out is None:
        return None
    Path(out).mkdir(parents=True, exist_ok=True)
    return Path(out) / name


def _progress(found: SearchResult, total: int) -> Progress:
    values: dict[str, Any] = {} if found.best is None else {"best": found.best.metrics[_NAME]}
    return Progress("search", "", len(found.candidates), total, "candidates", values=values)
