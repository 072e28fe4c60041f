"""Candidate networks of a job's supernet, and the proxy metric on its ``search`` split."""

from __future__ import annotations

from functools import cached_property
from typing import Literal

from torch import Tensor, nn

from gancompress.deploy.latency import variants_of_space
from gancompress.evaluation import find_metric
from gancompress.evaluation.stopwatch import Stopwatch
from gancompress.methods.budget import CostLimit
from gancompress.methods.candidates import Candidates, Proxy
from gancompress.steps.costs import cost_of_plans
from gancompress.steps.evaluation import Evaluation
from gancompress.steps.recalibration import Calibration
from gancompress.steps.spaces import SpaceOptions
from gancompress.steps.step import Context, Work


def candidates_of(
    work: Work, space: SpaceOptions, budget: CostLimit, calibration_batches: int, context: Context
) -> Candidates:
    """Return the candidate networks of the work's generator, a supernet. Raises as `costs.cost_of_plans`."""
    graph = context.graph(work.generator, multiple=1, minimum=1)
    legal = graph.constrain(multiple=space.multiple, minimum=space.multiple)
    plans = space.of(work.generator, graph)
    cost = cost_of_plans(budget, work.generator, graph, context, lambda: variants_of_space(plans))
    module = work.generator.build().to(context.accelerator.device)
    return Candidates(module, graph, legal, plans, budget, cost, Calibration(context, calibration_batches))


class SplitProxy(Proxy):
    """Metric of the job on its ``search`` split. Its networks and images are loaded when first needed."""

    def __init__(
        self,
        work: Work,
        metric: str,
        against: Literal["real", "teacher"],
        max_images: int | None,
        context: Context,
        watch: Stopwatch | None = None,
    ) -> None:
        """Create a proxy.

        Args:
            work: The teacher.
            metric: Name of the metric.
            against: References of the metric.
            max_images: Images of the split to use; all if None.
            context: Context of the step.
            watch: Stopwatch of the parts of an evaluation.
        """
        super().__init__(metric, find_metric(metric, context.metrics.specs())[0].better, context.seed)
        self._work, self._against, self._max_images, self._context = work, against, max_images, context
        self._watch = watch

    @cached_property
    def _evaluation(self) -> Evaluation:
        """Load the networks and images. Raises MetricError as `Evaluation`."""
        options = self._context.metrics.model_copy(update={"max_images": self._max_images})
        teacher = self._work.teacher.build() if self._against == "teacher" else None
        return Evaluation(options, (self.name,), self._context, "search", teacher, self._watch)

    def measure(self, network: nn.Module) -> float:
        """Return the metric of a network."""
        (result,) = self._evaluation.of(network)
        return result.value

    def measure_each(self, network: nn.Module) -> Tensor | None:
        """Return the metric of each image."""
        self.measure(network)
        return self._evaluation.per_image(self.name)
