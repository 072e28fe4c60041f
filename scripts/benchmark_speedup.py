"""Benchmark speedups over PyTorch eager: of the original, its compressed network, and runtime-friendly students.

``--folder F --prepare`` writes the files; the same without ``--prepare`` times them in turns, each in a separate
process, and prints the table. Weights are random and integers have no quality limit: only speed is measured.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path
from typing import Any

import torch

from gancompress.deploy import Precision, export_generator, export_layers, find_format
from gancompress.deploy.benchmark import Task, workers
from gancompress.deploy.benchmark.statistics import ratio
from gancompress.deploy.benchmark.workers import take_turns
from gancompress.deploy.rewrites import rewritten
from gancompress.networks.example_values import example_values
from gancompress.networks.file_form import FileForm
from gancompress.networks.generator import Generator
from gancompress.networks.registry import FAMILIES, build

FAMILY = "mobile_resnet_9blocks"
WIDE = FAMILIES.find(FAMILY).architecture({})
PLAN = WIDE.with_config(WIDE.parsed.at_widths(WIDE.widths_from_string("16_16_32_16_32_32_16_16"))).config
STRIDED = ("folded_batch_norms", "strided_last_convolution")
ZERO = {"padding": "zeros"}
HALF = {"tail": "half_size"}
BATCH = {"norm": "batch", "separable_norm": "batch"}

# Name of the row, options of the separable ResNet-9, rewrites.
ROWS: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "16_16_32_16_32_32_16_16": (PLAN, ()),
    "+ strided last convolution": (PLAN, STRIDED),
    "+ frozen norms, folded": ({**PLAN, **BATCH}, STRIDED),
    "ngf 24, as published": ({"ngf": 24}, STRIDED),
    "+ half-size tail": ({"ngf": 24, **HALF}, STRIDED),
    "+ 3x3 stem": ({"ngf": 24, **HALF, "stem_kernel": 3}, STRIDED),
    "+ zero padding": ({"ngf": 24, **HALF, "stem_kernel": 3, **ZERO}, STRIDED),
    "+ batch norm, folded": ({"ngf": 24, **HALF, "stem_kernel": 3, **ZERO, **BATCH}, STRIDED),
    "+ aligned: ngf 16": ({"ngf": 16, **HALF, "stem_kernel": 3, **ZERO, **BATCH}, STRIDED),
    "+ aligned: ngf 32": ({"ngf": 32, **HALF, "stem_kernel": 3, **ZERO, **BATCH}, STRIDED),
    "dense, ngf 16": ({"ngf": 16, **HALF, "stem_kernel": 3, **ZERO, **BATCH, "separable": False}, STRIDED),
}

# Rows whose files are also written in integers, and the formats of the runtimes for them.
INTEGERS = (
    "+ strided last convolution",
    "+ frozen norms, folded",
    "+ batch norm, folded",
    "+ aligned: ngf 16",
    "dense, ngf 16",
)
INTEGER_FORMATS = {"onnxruntime int8": "onnx_fixed", "openvino int8": "openvino"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--prepare", action="store_true")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--runtime", action="append", default=[])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--runs", type=int, default=4)
    given = parser.parse_args()
    shape = (1, 3, given.size, given.size)
    if given.prepare:
        _prepare(given.folder, shape)
        return

    runtimes = given.runtime or ["onnxruntime", "openvino", "openvino_bf16", *INTEGER_FORMATS]
    inputs = (example_values(shape),)
    tasks = {("original", "eager"): Task("eager", given.folder / "original", inputs, given.threads)}
    for number, name in enumerate(ROWS):
        for column in runtimes:
            if column in INTEGER_FORMATS and name not in INTEGERS:
                continue
            path, (runtime, *_) = _file(given.folder, number, column), column.split()
            tasks[name, column] = Task(runtime, path, inputs, given.threads)
    with workers(tasks) as each:
        times = take_turns(each, given.threads, given.rounds, given.runs).times_ms
    eager = times["original", "eager"]
    print(f"ResNet-9 ngf 64, eager: {statistics.median(ms for turn in eager for ms in turn):.0f} ms")
    print("| network | " + " | ".join(f"{runtime}, ms (times faster)" for runtime in runtimes) + " |")
    print("|---" * (1 + len(runtimes)) + "|")
    for name in ROWS:
        cells = []
        for column in runtimes:
            if (name, column) not in tasks:
                cells.append("")
                continue
            own = times[name, column]
            faster, low, high = ratio(eager, own)
            ms = statistics.median(ms for turn in own for ms in turn)
            cells.append(f"{ms:.1f} ({faster:.1f}x, {low:.1f} to {high:.1f})")
        print(f"| {name} | " + " | ".join(cells) + " |")


def _file(folder: Path, number: int, column: str) -> Path:
    if column not in INTEGER_FORMATS:
        return folder / f"{number}.onnx"
    return folder / f"{number} {column}" / find_format(INTEGER_FORMATS[column])[1].file_name


def _prepare(folder: Path, shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    original = build("resnet_9blocks", {})
    Generator.from_module(original, "resnet_9blocks", {}).save(folder / "original")
    generators = {}
    for name, (config, _) in ROWS.items():
        family = "resnet" if config.get("separable") is False else FAMILY
        generators[name] = Generator.from_module(build(family, config), family, config)
    modules = [rewritten(generators[name].build(), rewrites)[0] for name, (_, rewrites) in ROWS.items()]
    export_layers(modules, [torch.zeros(shape)] * len(modules), folder, "onnx_fixed")
    images = [(torch.rand(4, *shape[1:]) * 2 - 1,) for _ in range(8)]
    for number, (name, generator) in enumerate(generators.items()):
        form = FileForm(generator.build(), (images[0][0][:1],), axes=({},))
        for column, format in INTEGER_FORMATS.items() if name in INTEGERS else ():
            path = _file(folder, number, column)
            export_generator(generator, form, path, format, precision=Precision("int8", images, 0))
            print(f"{name}: {column}", flush=True)


if __name__ == "__main__":
    main()
