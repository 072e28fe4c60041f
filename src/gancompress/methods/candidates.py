"""Candidate networks of a supernet, and the proxy metric that ranks them."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from typing import Literal, TypeVar

import torch
from torch import Tensor, nn

from gancompress.architecture_search import SearchSpace
from gancompress.channels import ChannelGraph, ChannelPlan, materialise
from gancompress.cost import filled_plan
from gancompress.errors import NotFiniteError
from gancompress.evaluation.stopwatch import Stopwatch
from gancompress.methods.budget import CostLimit
from gancompress.methods.recalibrate import recalibrate
from gancompress.methods.training import digest_of
from gancompress.networks.given import Given

T = TypeVar("T")


class Candidates:
    """Candidate networks of one supernet within a budget.

    Attributes:
        graph: Graph of the supernet, in which every width is legal.
        space: Search space of the plans.
        limit: Upper limit of their cost.
        watch: Stopwatch of the parts of an evaluation.
    """

    def __init__(
        self,
        module: nn.Module,
        graph: ChannelGraph,
        legal: ChannelGraph,
        space: SearchSpace,
        limit: CostLimit,
        cost: Callable[[ChannelPlan], float],
        calibration: Iterable[Given],
        watch: Stopwatch | None = None,
    ) -> None:
        """Create the candidates of a supernet; none is built yet.

        Args:
            module: The supernet, in evaluation mode.
            graph: Its graph, in which every width is legal.
            legal: The same graph with the widths that single groups may be widened to.
            space: Search space of the plans.
            limit: Upper limit of their cost.
            cost: Cost of a plan, in the unit of the limit.
            calibration: Inputs on which the running statistics of a candidate are computed.
            watch: Stopwatch of the parts of an evaluation; a new one by default.
        """
        self._module, self.graph, self._legal = module, graph, legal
        self.space, self.limit, self._cost, self._calibration = space, limit, cost, calibration
        self.watch = watch or Stopwatch(next((p.device for p in module.parameters()), "cpu"))

    @property
    def digest(self) -> str:
        """Digest of the supernet's weights, without which metrics of candidates cannot be compared."""
        return digest_of(self._module)

    def cost(self, plan: ChannelPlan) -> float:
        """Return the cost of a plan, in the unit of the limit."""
        with self.watch.part("cost"):
            return self._cost(plan)

    def filled(self, plan: ChannelPlan) -> ChannelPlan:
        """Return the plan with the rest of the budget spent on wider groups; see `gancompress.cost.filled_plan`."""
        return filled_plan(self._legal, self.cost, self.limit.limit, plan)

    def network(self, plan: ChannelPlan) -> nn.Module:
        """Return the network of a plan with its own running statistics, in evaluation mode."""
        with self.watch.part("materialise"):
            network = materialise(self._module, self.graph, plan).eval()
        with self.watch.part("recalibration"):
            recalibrate(network, self._calibration)
        return network


class Proxy(ABC):
    """Metric that ranks candidates: the same inputs in the same order, and the same random numbers, for all of them."""

    def __init__(self, name: str, better: Literal["higher", "lower"], seed: int) -> None:
        """Create a proxy.

        Args:
            name: Name of the metric in the records of the search.
            better: Direction in which its values are better.
            seed: Seed of random numbers that a forward pass draws, such as noise maps.
        """
        self.name, self.better = name, better
        self._seed = seed

    @abstractmethod
    def measure(self, network: nn.Module) -> float:
        """Return the metric of a network. Raises NotFiniteError if its images are not finite."""

    def measure_each(self, network: nn.Module) -> Tensor | None:
        """Return the metric of each image, float64 of shape ``(images,)``; None for a metric of sets of images."""
        return None

    def of(self, network: nn.Module) -> Mapping[str, float]:
        """Return the metric of a network by its name; NaN if its images are not finite."""
        try:
            return {self.name: self._seeded(self.measure, network)}
        except NotFiniteError:
            return {self.name: math.nan}  # such a plan has no offspring, and the search continues

    def per_image(self, network: nn.Module) -> Tensor | None:
        """Return `measure_each` with the random numbers of `of`."""
        return self._seeded(self.measure_each, network)

    def _seeded(self, measure: Callable[[nn.Module], T], network: nn.Module) -> T:
        with torch.random.fork_rng():
            torch.manual_seed(self._seed)
            return measure(network)
