"""Measurement of a network of a job: cost, bytes of its weights and metrics on a split, and quality after each step."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from gancompress.cost import Cost, CostModel
from gancompress.errors import CheckpointError
from gancompress.evaluation import PairMetric, find_metric
from gancompress.evaluation.options import MetricOptions
from gancompress.evaluation.split_evaluation import Evaluation
from gancompress.jobs.outcome import Measured
from gancompress.jobs.recipe import Job
from gancompress.jobs.steps import Work
from gancompress.jobs.validation import evaluations
from gancompress.networks.generator import Generator
from gancompress.quantization import FLOAT, QuantizedSize
from gancompress.recipes.needs import downloads_of, metric_networks
from gancompress.tasks.inputs import Inputs


def check_networks(job: Job) -> None:
    """Check the files of networks that metrics name, and download the published ones that metrics and losses need.

    Raises:
        CheckpointError: A file does not exist, or cannot be downloaded.
    """
    options = job.model_dump(mode="json")
    for name, network in metric_networks(options).items():
        path = network.get("path")
        if path is not None and not Path(path).expanduser().exists():
            raise CheckpointError(
                f"metrics.networks.{name}: {path}: no such file, expected a network as TorchScript or ONNX; "
                "gancompress data RECIPE says how to get it or to do without"
            )
    for download in downloads_of(options):
        download.fetch()


def cost_of(generator: Generator, inputs: Inputs) -> Cost:
    """Return the cost of a generator at the size of the data, batch 1."""
    graph = inputs.graph(generator)
    return CostModel(graph).at(graph.full_plan())


def measure(
    work: Work, inputs: Inputs, options: MetricOptions, split: str = "test", device: torch.device | str = "cpu"
) -> Measured:
    """Measure the current network of some work; against its teacher, too, unless it is the teacher itself.

    Args:
        work: The network and its teacher.
        inputs: Images of the data, for the task.
        options: The metrics.
        split: Name of the split.
        device: Device of the computation.

    Raises:
        MetricError: Raised by `Evaluation`.
    """
    generator, network = work.generator, work.build()
    found = evaluations(None if generator is work.teacher else work.teacher, inputs, options, split, device)
    metrics = {f"{result.name}{end}": result for end, each in found for result in each.of(network)}
    graph = inputs.graph(generator)
    plan, quantization = graph.full_plan(), work.quantization and work.quantization.options
    size = QuantizedSize(graph, quantization or FLOAT).at(plan)
    return Measured(generator, CostModel(graph).at(plan), size, quantization, metrics)


class StepQuality:
    """Quality of a network against its cost on a few images, to be printed after each step.

    Args:
        teacher: The teacher.
        inputs: Images of the data, for the task.
        options: The metrics; those of pairs against the teacher are taken.
        num_images: Images of the split ``search``; with 0 nothing is measured.
        device: Device of the computation.
    """

    def __init__(
        self,
        teacher: Generator,
        inputs: Inputs,
        options: MetricOptions,
        num_images: int,
        device: torch.device | str = "cpu",
    ) -> None:
        self._inputs, self._evaluation = inputs, None
        if num_images:
            self._macs = cost_of(teacher, inputs).macs.true
            few = options.model_copy(update={"max_images": num_images})
            found = {name: find_metric(name, options.networks)[0] for name in options.against_teacher}
            names = [name for name, metric in found.items() if isinstance(metric, PairMetric)]
            self._evaluation = Evaluation(few, names, inputs, "search", teacher.build(), device=device)

    def tell(self, step: str, work: Work, say: Callable[[str], None]) -> None:
        """Print the cost of the current network and its metrics against the teacher, in one line."""
        if self._evaluation is None:
            return
        results = self._evaluation.of(work.build())
        times = self._macs / max(1, cost_of(work.generator, self._inputs).macs.true)
        figures = ", ".join(f"{result.name} {result.value:.4g}" for result in results)
        seen = f" to the teacher on {results[0].num_images} images of search" if results else ""
        say(f"{step}: {times:.1f} times fewer MACs, {figures}{seen}")
