"""Facts of a report, from the result of a job and the records of its steps."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import torch

from gancompress.cost.latency import in_turns
from gancompress.deploy import ExportReport, usage
from gancompress.deploy.benchmark import time_files
from gancompress.errors import DataError
from gancompress.evaluation import MetricResult
from gancompress.io.json_files import read_object
from gancompress.jobs.outcome import Measured, Outcome
from gancompress.methods.loss_records import read_losses
from gancompress.networks.generator import Generator
from gancompress.networks.given import Given, arguments, call, sizes
from gancompress.quantization import QuantizationOptions
from gancompress.report import (
    COMPRESSED,
    FLOAT32,
    TEACHER,
    Candidate,
    ExportFacts,
    FileRow,
    FileSpeed,
    Latency,
    MacFacts,
    MetricValue,
    NetworkFacts,
    RankFacts,
    Report,
    Samples,
    SearchFacts,
    StepFacts,
)

RUNTIME = "PyTorch eager, CPU"
"""Runtime of the latencies."""


def summarise(outcome: Outcome, example: Given, rounds: int = 20) -> Report:
    """Return the report of a finished job. Networks are timed alternately, and files alternately with the teacher.

    Args:
        outcome: Result of the job.
        example: An input of the networks [1, ...], for timing.
        rounds: Timed forward passes of each network.
    """
    directory = outcome.directory
    records = outcome.records
    latency = latencies((outcome.teacher.generator, outcome.compressed.generator), example, rounds)
    given, notes = arguments(outcome.teacher.generator.build(), example), list[str]()
    speeds = time_files(directory / "teacher", given, outcome.files.reports, outcome.file_inputs, say=notes.append)
    return Report(
        title=outcome.job.name,
        recipe=(directory / "job.yaml").read_text(),
        seed=outcome.job.seed,
        environment=environment(),
        networks=[
            _network(TEACHER, outcome.teacher, latency[0], directory / "teacher" / "model.safetensors"),
            _network(COMPRESSED, outcome.compressed, latency[1], _file(outcome)),
        ],
        steps=[_step(record, directory) for record in records],
        search=next((_search(record["search"]) for record in records if record.get("search")), None),
        samples=Samples(
            "samples/test.png", "The first items of the test split: what the networks make of them, side by side."
        ),
        pictures=[Samples(path, caption) for path, caption in outcome.pictures.items()],
        exports=[
            _export(report, directory, outcome.files.tried.get(report.path, ()), speeds.get(report.path))
            for report in outcome.files.reports
        ],
        not_exported={**outcome.files.failed, **outcome.skipped},
        notes=[f"{doubt[0].upper()}{doubt[1:]}." for doubt in outcome.doubts] + notes,
        input_size=sizes(example),
    )


def add_to_report(directory: Path, measured: Mapping[str, Measured], pictures: Mapping[str, str]) -> Report:
    """Return the report of a finished run with new measurements of its networks added.

    Args:
        directory: The run directory.
        measured: By the network's name in the report; metrics of the same name are replaced.
        pictures: Captions by path; a picture of the report is not added twice.

    Raises:
        DataError: There is no report, or none that this version can read.
    """
    file = directory / "report.json"
    if not file.is_file():
        raise DataError(f"{file}: found no such file, expected the report of a finished run; run compress to its end")
    content = read_object(file)
    if content is None:
        raise DataError(f"{file}: got a damaged file, expected the report of a finished run; run compress again")
    report = Report.from_json(content)
    networks, names = [], []
    for network in report.networks:
        results = measured[network.name].metrics if network.name in measured else {}
        names += results
        networks.append(replace(network, metrics={**network.metrics, **{n: _metric(r) for n, r in results.items()}}))
    known = {picture.path for picture in report.pictures}
    more = [Samples(path, caption) for path, caption in pictures.items() if path not in known]
    note = f"Measured after the run, by gancompress evaluate: {', '.join(dict.fromkeys(names))}."
    notes = report.notes if note in report.notes or not names else [*report.notes, note]
    return replace(report, networks=networks, pictures=[*report.pictures, *more], notes=notes)


def environment() -> dict[str, str | int | float | None]:
    """Return the environment in which the figures were measured."""
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cpu": f"{platform.machine()}, {os.cpu_count()} cores",
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU",
        "date": date.today().isoformat(),
    }


@torch.no_grad()
def latencies(generators: Sequence[Generator], example: Given, rounds: int = 20) -> list[Latency]:
    """Time generators in `RUNTIME`, alternately, so that their ratio holds on a noisy machine.

    Args:
        generators: The generators to time.
        example: An input of the generators [1, ...].
        rounds: Timed forward passes of each.
    """
    networks = [generator.build() for generator in generators]
    functions = [lambda network=network: call(network, example) for network in networks]
    times = in_turns(functions, rounds, warm_up=3)
    return [Latency.of(t) for t in times]


def _network(name: str, measured: Measured, latency: Latency, file: Path) -> NetworkFacts:
    generator, cost = measured.generator, measured.cost
    return NetworkFacts(
        name=name,
        family=generator.family,
        plan=generator.architecture.plan_string(),
        parameters=cost.parameters,
        weight_bytes=measured.weight_bytes,
        file_bytes=file.stat().st_size,
        macs=MacFacts.of(cost.macs),
        peak_activation_bytes=cost.peak_activation_bytes,
        latency_ms={RUNTIME: latency},
        metrics={key: _metric(result) for key, result in measured.metrics.items()},
        precision=_precision(measured.quantization),
    )


def _file(outcome: Outcome) -> Path:
    """Return the deployed file: the weights, or for a quantized network the first export, which holds integers."""
    if outcome.compressed.quantization is not None and outcome.files.reports:
        return outcome.files.reports[0].path
    return outcome.directory / "model.safetensors"


def _precision(options: QuantizationOptions | None) -> str:
    if options is None:
        return FLOAT32
    activations = "float" if options.activation_bits is None else f"{options.activation_bits} bits"
    exceptions = f", {len(options.layer_bits)} exceptions" if options.layer_bits else ""
    return f"weights {options.weight_bits} bits, activations {activations}{exceptions}"


def _metric(result: MetricResult) -> MetricValue:
    low, high = result.interval or (None, None)
    return MetricValue(result.value, result.num_images, result.protocol, result.better, low, high)


def _step(record: Mapping[str, Any], directory: Path) -> StepFacts:
    losses = read_losses(directory / "steps" / record["directory"])
    rates = [rate for line in losses if (rate := line["images_per_second"])]  # 0 before the first image
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
    found = facts.get("agreement")
    agreement = found and RankFacts(**{**found, **{name: tuple(found[name]) for name in found if "interval" in name}})
    return SearchFacts(**{**facts, "candidates": candidates, "agreement": agreement})


def _export(report: ExportReport, directory: Path, tried: Sequence[FileRow], speed: FileSpeed | None) -> ExportFacts:
    precision = "" if report.precision == "fp32" else f", {report.precision}"
    threads = speed.threads if speed and speed.threads != torch.get_num_threads() else None  # not the runtime's default
    return ExportFacts(
        format=f"{report.format}{precision}",
        path=str(report.path.relative_to(directory)),
        file_bytes=report.file_bytes,
        max_difference=report.max_difference,
        psnr_db=report.quality and report.quality.psnr_db,
        perceptual=report.quality and report.quality.perceptual,
        usage=usage(report.path, report.cases[0].input_shapes if report.cases else None, threads),
        not_compared=report.not_compared,
        tried=list(tried),
        speed=speed,
    )
