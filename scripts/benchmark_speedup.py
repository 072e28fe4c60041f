"""How many times faster than PyTorch eager: the original, its compressed network, and students that a runtime likes.

``--folder F --prepare`` writes the files; the same without ``--prepare`` times them in turns, each in a process of its
own, and prints the table. Weights are random: this is about speed alone.
"""

from __future__ import annotations

import argparse
import statistics
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch

from gancompress.benchmark import Contestant, Task
from gancompress.benchmark.statistics import ratio
from gancompress.export.many import export_many
from gancompress.export.rewrites import rewritten
from gancompress.models.config_strings import config_from_string
from gancompress.models.families import build
from gancompress.models.generator import Generator

FAMILY = "mobile_resnet_9blocks"
PLAN = config_from_string(FAMILY, "16_16_32_16_32_32_16_16")
STRIDED = ("folded_batch_norms", "strided_last_convolution")
ZERO = {"padding": "zeros"}
HALF = {"tail": "half_size"}
BATCH = {"norm": "batch", "separable_norm": "batch"}

# Name of the row, options of the separable ResNet-9, rewrites.
ROWS: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "16_16_32_16_32_32_16_16": (PLAN, ()),
    "+ strided last convolution": (PLAN, STRIDED),
    "ngf 24, as published": ({"ngf": 24}, STRIDED),
    "+ half-size tail": ({"ngf": 24, **HALF}, STRIDED),
    "+ 3x3 stem": ({"ngf": 24, **HALF, "stem_kernel": 3}, STRIDED),
    "+ zero padding": ({"ngf": 24, **HALF, "stem_kernel": 3, **ZERO}, STRIDED),
    "+ batch norm, folded": ({"ngf": 24, **HALF, "stem_kernel": 3, **ZERO, **BATCH}, STRIDED),
    "+ aligned: ngf 16": ({"ngf": 16, **HALF, "stem_kernel": 3, **ZERO, **BATCH}, STRIDED),
    "+ aligned: ngf 32": ({"ngf": 32, **HALF, "stem_kernel": 3, **ZERO, **BATCH}, STRIDED),
    "dense, ngf 16": ({"ngf": 16, **HALF, "stem_kernel": 3, **ZERO, **BATCH, "separable": False}, STRIDED),
}


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

    runtimes = given.runtime or ["onnxruntime", "openvino", "openvino_bf16"]
    tasks = {("original", "eager"): Task("eager", str(given.folder / "original"), shape, given.threads)}
    for number, name in enumerate(ROWS):
        path = str(given.folder / f"{number}.onnx")
        tasks |= {(name, runtime): Task(runtime, path, shape, given.threads) for runtime in runtimes}
    with ExitStack() as stack:
        each = {key: stack.enter_context(Contestant(task)) for key, task in tasks.items()}
        turns = [
            {key: one.times(1 if key[1] == "eager" else given.runs) for key, one in each.items()}
            for _ in range(given.rounds)
        ]
    eager = [turn["original", "eager"] for turn in turns]
    print(f"ResNet-9 ngf 64, eager: {statistics.median(ms for turn in eager for ms in turn):.0f} ms")
    print("| network | " + " | ".join(f"{runtime}, ms (times faster)" for runtime in runtimes) + " |")
    print("|---" * (1 + len(runtimes)) + "|")
    for name in ROWS:
        cells = []
        for runtime in runtimes:
            own = [turn[name, runtime] for turn in turns]
            faster, low, high = ratio(eager, own)
            ms = statistics.median(ms for turn in own for ms in turn)
            cells.append(f"{ms:.1f} ({faster:.1f}x, {low:.1f} to {high:.1f})")
        print(f"| {name} | " + " | ".join(cells) + " |")


def _prepare(folder: Path, shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    original = build("resnet_9blocks", {})
    Generator.from_module(original, "resnet_9blocks", {}).save(folder / "original")
    modules = []
    for config, rewrites in ROWS.values():
        family = "resnet" if config.get("separable") is False else FAMILY
        modules.append(rewritten(build(family, config).eval(), rewrites)[0])
    export_many(modules, [torch.zeros(shape)] * len(modules), folder, "onnx_fixed")


if __name__ == "__main__":
    main()
