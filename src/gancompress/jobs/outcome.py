"""Result of a job: the measured networks, the files and the records of the steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from gancompress.cost import Cost
from gancompress.deploy.benchmark import Written
from gancompress.evaluation import MetricResult
from gancompress.jobs.recipe import Job
from gancompress.networks.generator import Generator
from gancompress.quantization import QuantizationOptions


@dataclass(frozen=True)
class Measured:
    """A network and its measurements.

    Attributes:
        generator: The network, in float.
        cost: Cost at the size of the data, batch 1.
        weight_bytes: Bytes of its weights, each at its bits.
        quantization: Quantization of the network; None if it is not quantized.
        metrics: Metrics by name, with the quantization; those against the teacher end with ``_to_teacher``.
    """

    generator: Generator
    cost: Cost
    weight_bytes: int
    quantization: QuantizationOptions | None
    metrics: Mapping[str, MetricResult]


@dataclass(frozen=True)
class Outcome:
    """Result of a job.

    Attributes:
        job: The job.
        directory: The run directory.
        teacher: The network that was given or trained.
        compressed: The compressed network.
        files: The exported files, and those that could not be written.
        records: Records of the steps, in their order.
        pictures: Captions of pictures by their path in the run directory; the sample grid is not among them.
        file_inputs: An example of each input of the files.
        skipped: Reason that a file was skipped, by its name.
        doubts: Reasons to distrust the teacher, as sentences.
    """

    job: Job
    directory: Path
    teacher: Measured
    compressed: Measured
    files: Written
    records: tuple[Mapping[str, Any], ...]
    pictures: Mapping[str, str] = field(default_factory=dict)
    file_inputs: tuple[Tensor, ...] = ()
    skipped: Mapping[str, str] = field(default_factory=dict)
    doubts: tuple[str, ...] = ()
