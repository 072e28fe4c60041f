"""From what a job came to, and what its steps left behind, to the facts of its report."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import torch

from gancompress.cost.latency import in_turns
from gancompress.metrics import MetricResult
from gancompress.models.config_strings import plan_string
from gancompress.models.generator import Generator
from gancompress.pipeline import Measured, Outcome
from gancompress.report import (
    COMPRESSED,
    TEACHER,
    Candidate,
    ExportFacts,
    Latency,
    MacFacts,
    MetricValue,
    NetworkFacts,
    Report,
    Samples,
    SearchFacts,
    StepFacts,
)
from gancompress.run_log import read_losses

RUNTIME = "PyTorch eager, CPU"
"""What latencies are measured in."""


def summarise(outcome: Outcome, example: torch.Tensor, rounds: int = 20) -> Report:
    """The report of a finished job.

    Args:
        outcome: What it came to.
        example: An input of the networks [1, c, h, w], to time them with.
        rounds: Forward passes of each network that are timed.
    """
    directory = outcome.directory
    records = outcome.records
    latency = latencies((outcome.teacher.generator, outcome.compressed.generator), example, rounds)
    return Report(
        title=outcome.job.name,
        recipe=(directory / "job.yaml").read_text(),
        seed=outcome.job.seed,
        environment=environment(),
        networks=[
            _network(TEACHER, outcome.teacher, latency[0], directory / "teacher" / "model.safetensors"),
            _network(COMPRESSED, outcome.compressed, latency[1], directory / "model.safetensors"),
        ],
        steps=[_step(record, directory) for record in records],
        search=next((_search(record["search"]) for record in records if record.get("search")), None),
        samples=Samples("samples/test.png", "The first images of the test split."),
        exports=[_export(report, example, directory) for report in outcome.exports],
        input_size="x".join(map(str, example.shape)),
    )


def environment() -> dict[str, str | int | float | None]:
    """What the figures were measured on."""
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "processor": f"{platform.machine()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads",
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU",
        "date": date.today().isoformat(),
    }


@torch.no_grad()
def latencies(generators: Sequence[Generator], example: torch.Tensor, rounds: int = 20) -> list[Latency]:
    """Time generators in `RUNTIME`, turn by turn, so that their ratio holds on a noisy machine.

    Args:
        generators: What to time.
        example: An input of theirs [1, c, h, w].
        rounds: Forward passes of each that are timed.
    """
    networks = [generator.build() for generator in generators]
    functions = [lambda network=network: network(example) for network in networks]
    times = in_turns(functions, rounds, warm_up=3)
    return [Latency.of(t) for t in times]


def _network(name: str, measured: Measured, latency: Latency, file: Path) -> NetworkFacts:
    generator, cost = measured.generator, measured.cost
    return NetworkFacts(
        name=name,
        family=generator.family,
        plan=plan_string(generator.family, generator.config),
        parameters=cost.parameters,
        parameter_bytes=cost.parameter_bytes,
        file_bytes=file.stat().st_size,
        macs=MacFacts.of(cost.macs),
        peak_activation_bytes=cost.peak_activation_bytes,
        latency_ms={RUNTIME: latency},
        metrics={key: _metric(result) for key, result in measured.metrics.items()},
    )


def _metric(result: MetricResult) -> MetricValue:
    low, high = result.interval or (None, None)
    return MetricValue(result.value, result.num_images, result.protocol, result.better, low, high)


def _step(record: Mapping[str, Any], directory: Path) -> StepFacts:
    losses = read_losses(directory / "steps" / record["directory"])
    rates = [line["images_per_second"] for line in losses]
    return StepFacts(
        name=record["step"],
        kind=record["kind"],
        num_images=losses[-1]["num_images"] if losses else 0,
        seconds=record["seconds"],
        images_per_second=statistics.median(rates) if rates else None,
        losses=[(line["num_images"], line["losses"]) for line in losses],
        note=record.get("note", ""),
    )


def _search(facts: Mapping[str, Any]) -> SearchFacts:
    candidates = [Candidate(**candidate) for candidate in facts["candidates"]]
    return SearchFacts(**{**facts, "candidates": candidates})


def _export(report: Any, example: torch.Tensor, directory: Path) -> ExportFacts:
    shape = ", ".join(map(str, example.shape))
    inputs = "RGB in [-1, 1], any batch and size" if example.ndim == 4 else "latents, any batch"
    usage = (
        "import numpy, onnxruntime\n"
        f'session = onnxruntime.InferenceSession("{report.path.name}")\n'
        f"images = numpy.zeros(({shape}), numpy.float32)  # {inputs}\n"
        "(result,) = session.run(None, {session.get_inputs()[0].name: images})\n"
    )
    return ExportFacts("onnx", str(report.path.relative_to(directory)), report.file_bytes, report.max_difference, usage)
