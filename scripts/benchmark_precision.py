"""Benchmark 8-bit integer files beside float32 ones on onnxruntime and OpenVINO: speed, and distance of the images.

It has two commands, so that only the second one needs a quiet machine:

    python scripts/benchmark_precision.py prepare FOLDER [--photos FOLDER] [--checkpoint NAME=FILE ...]
    python scripts/benchmark_precision.py time FOLDER [--rounds N] [--threads N]

It runs small generators with random weights, whose integers have no quality limit, and the given checkpoints, whose
integers keep to the default quality. If NNCF is installed, files that its `quantize` made from the OpenVINO file with
the same calibration images run beside them. Files of each network on each runtime take turns, each in a separate
process; ratios are medians over the turns.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Sequence
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import nn

from gancompress.deploy import DEFAULT_MIN_PSNR_DB, Precision, export_generator, find_format, quality_of
from gancompress.deploy.benchmark import Task, ratio, workers
from gancompress.deploy.benchmark.workers import take_turns
from gancompress.networks.example_values import example_values
from gancompress.networks.file_form import FileForm
from gancompress.networks.generator import Generator
from gancompress.networks.importers import load_generator
from gancompress.networks.registry import build

SIZE_PX = 256
NETWORKS = {
    "U-Net 256, ngf 16": ("unet_256", {"ngf": 16}),
    "separable ResNet-9, ngf 16": ("mobile_resnet_9blocks", {"ngf": 16}),
    "ResNet-9, ngf 16": ("resnet_9blocks", {"ngf": 16}),
}


def random_generator(family: str, config: dict[str, int]) -> Generator:
    """Return a generator with random weights that keep the size of activations, and random norm statistics."""
    torch.manual_seed(0)
    network: nn.Module = build(family, config)
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if tensor.dim() > 1:
                tensor.normal_(0, (2 / tensor[0].numel()) ** 0.5)
            elif "running_var" in name or (tensor.is_floating_point() and name.endswith("weight")):
                tensor.uniform_(0.5, 1.5)
    return Generator.from_module(network, family, config)


def photos(folder: Path | None, number: int) -> list[tuple[torch.Tensor]]:
    """Return batches of four images [4, 3, 256, 256]: photographs, or noise."""
    if folder is None:
        return [(torch.rand(4, 3, SIZE_PX, SIZE_PX) * 2 - 1,) for _ in range(number // 4)]
    names = sorted(path for path in folder.iterdir() if path.suffix in (".jpg", ".png"))
    images = []
    for path in names[:: max(1, len(names) // number)][:number]:
        pixels = torch.frombuffer(
            bytearray(Image.open(path).convert("RGB").resize((SIZE_PX,) * 2).tobytes()), dtype=torch.uint8
        )
        images.append(pixels.view(SIZE_PX, SIZE_PX, 3).permute(2, 0, 1).float() / 127.5 - 1)
    return [(batch,) for batch in torch.stack(images).split(4)]


def prepare(arguments: argparse.Namespace) -> None:
    images = photos(arguments.photos, arguments.images)
    generators = {name: random_generator(*made) for name, made in NETWORKS.items()}
    for named in arguments.checkpoint:
        name, _, path = named.partition("=")
        generators[name] = load_generator(Path(path))
    for number, (name, generator) in enumerate(generators.items()):
        home = arguments.folder / str(number)
        if (home / "facts.json").is_file():
            continue
        network = generator.build()
        form = FileForm(network, (images[0][0][:1],), axes=({},))
        facts: dict[str, object] = {"name": name}
        for format in ("onnx_fixed", "openvino"):
            for precision in ("fp32", "int8"):
                path = home / format / precision / find_format(format)[1].file_name
                wanted = 0 if name in NETWORKS else DEFAULT_MIN_PSNR_DB
                how = Precision(precision, images if precision == "int8" else (), wanted)
                report = export_generator(generator, form, path, format, precision=how)
                quality = report.quality
                facts[f"{format} {precision}"] = {
                    "psnr_db": quality and quality.psnr_db,
                    "bytes": report.file_bytes,
                    "float_layers": report.float_layers,
                }
                print(name, format, precision, quality, report.float_layers, flush=True)
        ranges, _, held_out = Precision("int8", images).parts()
        if find_spec("nncf"):
            path = home / "openvino" / "int8 by NNCF" / "model.xml"
            quantize_by_nncf(home / "openvino" / "fp32" / "model.xml", path, ranges)
            facts["openvino int8 by NNCF"] = {"psnr_db": quality_of(path, network, held_out).psnr_db}
        bf16 = quality_of(home / "openvino" / "fp32" / "model.xml", network, held_out, "bf16")
        facts["openvino bf16"] = {"psnr_db": bf16.psnr_db}
        (home / "facts.json").write_text(json.dumps(facts, indent=2))


def quantize_by_nncf(file: Path, path: Path, images: Sequence[tuple[torch.Tensor]]) -> None:
    import nncf
    import openvino

    each = [image[None].numpy() for (batch,) in images for image in batch]
    openvino.save_model(nncf.quantize(openvino.Core().read_model(file), nncf.Dataset(each)), path)


ENTRIES = {
    ("onnxruntime", "fp32"): ("onnxruntime", "onnx_fixed", "fp32"),
    ("onnxruntime", "int8"): ("onnxruntime", "onnx_fixed", "int8"),
    ("OpenVINO", "fp32"): ("openvino", "openvino", "fp32"),
    ("OpenVINO", "bf16"): ("openvino_bf16", "openvino", "fp32"),
    ("OpenVINO", "int8"): ("openvino", "openvino", "int8"),
    ("OpenVINO", "int8 by NNCF"): ("openvino", "openvino", "int8 by NNCF"),
}
"""Runtime of each candidate, the format of its file, and the precision of its export."""


def time(arguments: argparse.Namespace) -> None:
    versions = f"onnxruntime {version('onnxruntime')}, OpenVINO {version('openvino')}"
    print(f"{versions}, threads {arguments.threads or 'default'}, {arguments.rounds} rounds of 3 runs")
    print("| network | runtime | precision | times faster than its fp32 (quartiles) | ms | PSNR, dB | in float |")
    print("|---|---|---|---|---|---|---|")
    for home in sorted(path for path in arguments.folder.iterdir() if (path / "facts.json").is_file()):
        facts = json.loads((home / "facts.json").read_text())
        if arguments.only in facts["name"]:
            time_network(home, facts, arguments.rounds, arguments.threads)


def time_network(home: Path, facts: dict[str, Any], rounds: int, threads: int | None) -> None:
    entries = {key: entry for key, entry in ENTRIES.items() if f"{entry[1]} {key[1]}" in facts}
    inputs = (example_values((1, 3, SIZE_PX, SIZE_PX)),)
    tasks = {
        key: Task(runtime, home / format / precision / find_format(format)[1].file_name, inputs, threads)
        for key, (runtime, format, precision) in entries.items()
    }
    with workers(tasks) as processes:
        times = take_turns(processes, threads, rounds, 3).times_ms
    for (name, precision), (_, format, _) in entries.items():
        own = times[name, precision]
        middle, low, high = ratio(times[name, "fp32"], own)
        told = facts[f"{format} {precision}"]
        psnr = "" if told["psnr_db"] is None else f"{told['psnr_db']:.1f}"
        milliseconds = statistics.median(ms for turn in own for ms in turn)
        stay = str(len(told.get("float_layers", ()))) if precision == "int8" else ""
        cells = (facts["name"], name, precision, f"{middle:.2f} ({low:.2f} to {high:.2f})", f"{milliseconds:.1f}")
        print(f"| {' | '.join(cells)} | {psnr} | {stay} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["prepare", "time"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--images", type=int, default=32)
    parser.add_argument("--checkpoint", action="append", default=[], metavar="NAME=FILE")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--only", default="")
    arguments = parser.parse_args()
    (prepare if arguments.what == "prepare" else time)(arguments)


if __name__ == "__main__":
    main()
