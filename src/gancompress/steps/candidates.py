"""Candidate networks of a supernet: the cost of each plan, and its quality with the supernet's weights."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from gancompress.channels import ChannelPlan, materialise
from gancompress.cost import filled_plan
from gancompress.deploy.latency import variants_of_space
from gancompress.errors import NotFiniteError
from gancompress.methods.budget import CostLimit
from gancompress.methods.recalibrate import recalibrate
from gancompress.networks.cut import cut
from gancompress.networks.generator import Generator
from gancompress.steps.costs import cost_of_plans
from gancompress.steps.evaluation import Evaluation
from gancompress.steps.recalibration import Calibration
from gancompress.steps.spaces import SpaceOptions
from gancompress.steps.step import Context, Work
from gancompress.steps.stopwatch import Stopwatch


class CandidateNetworks:
    """Candidate networks of one supernet. ``watch`` counts the time of each part."""

    def __init__(
        self, work: Work, space: SpaceOptions, budget: CostLimit, calibration_batches: int, context: Context
    ) -> None:
        """Trace the supernet; if the budget is a latency, measure the latency model.

        Args:
            work: Its generator is the supernet.
            space: The plans.
            budget: The budget of a plan.
            calibration_batches: Batches over which running statistics are averaged before a network is evaluated.
            context: Context of the step.

        Raises:
            ExportError: The runtime of a latency is missing, or rejects the network.
        """
        self._work, self._context, self.budget = work, context, budget
        self.watch = Stopwatch(context.accelerator.device)
        self.graph = context.graph(work.generator, multiple=1, minimum=1)
        self._legal = self.graph.constrain(multiple=space.multiple, minimum=space.multiple)
        self.space = space.of(work.generator, self.graph)
        self._cost = cost_of_plans(budget, work.generator, self.graph, context, lambda: variants_of_space(self.space))
        self._calibration = Calibration(context, calibration_batches)
        self._module = work.generator.build().to(context.accelerator.device)

    def cost(self, plan: ChannelPlan) -> float:
        """Return the cost of a plan, in the unit of the budget."""
        with self.watch.part("cost"):
            return self._cost(plan)

    def filled(self, plan: ChannelPlan) -> ChannelPlan:
        """Return the plan with the rest of the budget spent on wider groups; see `filled_plan`."""
        return filled_plan(self._legal, self.cost, self.budget.limit, plan)

    def cut(self, plan: ChannelPlan) -> Generator:
        """Return the network of a plan, with the supernet's weights and recomputed running statistics."""
        narrow = cut(self._work.generator, self.graph, plan)
        network = narrow.build()
        recalibrate(network, self._calibration)
        return narrow.with_weights_of(network)

    def network(self, plan: ChannelPlan) -> nn.Module:
        """Return the network of a plan as a module, ready to be evaluated."""
        with self.watch.part("materialise"):
            network = materialise(self._module, self.graph, plan)
        with self.watch.part("recalibration"):
            recalibrate(network, self._calibration)
        return network

    def proxy(self, metric: str, against: Literal["real", "teacher"], max_images: int | None) -> Proxy:
        """Return the proxy metric that ranks candidates on the ``search`` split.

        Raises:
            MetricError: Raised by `Evaluation`.
        """
        return Proxy(self._work, metric, against, max_images, self._context, self.watch)


class Proxy:
    """Proxy metric of networks on the ``search`` split: the same inputs, in the same order, for all of them."""

    def __init__(
        self,
        work: Work,
        metric: str,
        against: Literal["real", "teacher"],
        max_images: int | None,
        context: Context,
        watch: Stopwatch | None = None,
    ) -> None:
        """Load the networks of the metric. Raises MetricError like `Evaluation`."""
        options = context.metrics.model_copy(update={"max_images": max_images})
        teacher = work.teacher.build() if against == "teacher" else None
        self._metric, self._seed = metric, context.seed
        self._evaluation = Evaluation(options, (metric,), context, "search", teacher, watch)

    def of(self, network: nn.Module) -> Mapping[str, float]:
        """Return the metric by its name; NaN if the network's images are not finite.

        Random draws in ``forward``, such as noise maps, are the same for all networks.
        """
        with torch.random.fork_rng():
            torch.manual_seed(self._seed)
            try:
                return {result.name: result.value for result in self._evaluation.of(network)}
            except NotFiniteError:
                return {self._metric: math.nan}  # such a plan has no offspring, and the search continues

    def per_image(self, network: nn.Module) -> Tensor | None:
        """Return the metric of each image, float64 of shape ``(images,)``; None for a metric of sets of images."""
        self.of(network)
        return self._evaluation.per_image(self._metric)
