"""Measurement of a network of a job: cost, bytes of its weights and metrics on a split."""

from __future__ import annotations

import torch

from gancompress.cost import Cost, CostModel
from gancompress.evaluation.options import MetricOptions
from gancompress.evaluation.split_evaluation import Evaluation
from gancompress.jobs.outcome import Measured
from gancompress.jobs.steps import Work
from gancompress.networks.generator import Generator
from gancompress.quantization import FLOAT, QuantizedSize
from gancompress.report import TO_TEACHER
from gancompress.tasks.inputs import Inputs


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
    results = Evaluation(options, options.against_real, inputs, split, device=device).of(network)
    metrics = {result.name: result for result in results}
    if generator is not work.teacher:
        teacher = work.teacher.build()
        again = Evaluation(options, options.against_teacher, inputs, split, teacher, device=device)
        metrics |= {f"{result.name}{TO_TEACHER}": result for result in again.of(network)}
    graph = inputs.graph(generator)
    plan, quantization = graph.full_plan(), work.quantization and work.quantization.options
    size = QuantizedSize(graph, quantization or FLOAT).at(plan)
    return Measured(generator, CostModel(graph).at(plan), size, quantization, metrics)
