"""Candidate networks of a job's supernet, and the proxy metric on its ``search`` split."""

from __future__ import annotations

from functools import cached_property
from typing import Literal

from torch import Tensor, nn

from gancompress.deploy.latency import variants_of_space
from gancompress.evaluation import find_metric
from gancompress.evaluation.options import MetricOptions
from gancompress.evaluation.split_evaluation import Evaluation
from gancompress.evaluation.stopwatch import Stopwatch
from gancompress.jobs.steps.costs import cost_of_plans
from gancompress.jobs.steps.recalibration import Calibration
from gancompress.jobs.steps.spaces import SpaceOptions
from gancompress.jobs.steps.step import Goal, StepRun, Work
from gancompress.methods.candidates import Candidates, Proxy
from gancompress.tasks.inputs import Inputs


def candidates_of(
    work: Work, space: SpaceOptions, calibration_batches: int, inputs: Inputs, run: StepRun, goal: Goal
) -> Candidates:
    """Return the candidate networks of the work's generator, a supernet. Raises as `costs.cost_of_plans`."""
    assert goal.budget is not None
    graph = inputs.graph(work.generator, multiple=1, minimum=1)
    legal = graph.constrain(multiple=space.multiple, minimum=space.multiple, slots=graph.slots)
    plans = space.of(work.generator, graph)
    cost = cost_of_plans(goal.budget, work.generator, graph, inputs, run, lambda: variants_of_space(plans))
    calibration = Calibration(inputs, goal.metrics.memory_gib, calibration_batches)
    module = work.generator.build().to(run.device)
    return Candidates(module, graph, legal, plans, goal.budget, cost, calibration)


class SplitProxy(Proxy):
    """Metric of the job on its ``search`` split. Its networks and images are loaded when first needed."""

    def __init__(
        self,
        work: Work,
        metric: str,
        against: Literal["real", "teacher"],
        max_images: int | None,
        inputs: Inputs,
        run: StepRun,
        options: MetricOptions,
        watch: Stopwatch | None = None,
    ) -> None:
        """Create a proxy.

        Args:
            work: The teacher.
            metric: Name of the metric.
            against: References of the metric.
            max_images: Images of the split to use; all if None.
            inputs: Images of the data, for the task.
            run: Run of the step.
            options: Options of the job's metrics.
            watch: Stopwatch of the parts of an evaluation.
        """
        super().__init__(metric, find_metric(metric, options.specs())[0].better, run.seed)
        self._options = options.model_copy(update={"max_images": max_images})
        self._work, self._against, self._inputs = work, against, inputs
        self._watch, self._device = watch, run.device

    @cached_property
    def _evaluation(self) -> Evaluation:
        """Load the networks and images. Raises MetricError as `Evaluation`."""
        teacher = self._work.teacher.build() if self._against == "teacher" else None
        return Evaluation(self._options, (self.name,), self._inputs, "search", teacher, self._watch, self._device)

    def measure(self, network: nn.Module) -> float:
        """Return the metric of a network."""
        (result,) = self._evaluation.of(network)
        return result.value

    def measure_each(self, network: nn.Module) -> Tensor | None:
        """Return the metric of each image."""
        self.measure(network)
        return self._evaluation.per_image(self.name)
