"""Compare files of 8-bit integers with float32 ones for networks of every kind, and print one table in Markdown.

    python scripts/benchmark_files.py [--photos FOLDER] [--checkpoint NAME=FILE ...] [--only NAME ...] [--rounds N]
        [--record FILE]

The networks are teachers, and students at reduced widths without training: translators, upscalers, a U-Net, generators
from noise and of label maps, and a vocoder. Without a checkpoint a network has random weights. Every file is compared
with PyTorch on held-out inputs; integers that do not reach 30 dB with any choice of layers are refused. The files of
one network take turns on one thread of this process, and the time is the processor's. Where integers are slower than
float32, the operators that take the time are listed. With a record, the same command goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

import gancompress as gc
from gancompress.deploy import ExportReport, Precision, export_generator, find_format
from gancompress.deploy.axes import Inputs
from gancompress.deploy.runtimes.registry import open_file
from gancompress.errors import GanCompressError
from gancompress.networks.file_form import FileForm, label_map_form
from gancompress.networks.generator import Generator
from gancompress.networks.importers import load_generator
from gancompress.networks.registry import build

NUM_INPUTS, BATCH = 32, 4
FORMATS = {"onnxruntime": "onnx_fixed", "OpenVINO": "openvino"}


@dataclass(frozen=True)
class Network:
    """A network of the table.

    Attributes:
        family: Its family, for random weights; None for `vocoder`.
        config: Options of the family.
        source: Name of its checkpoint on the command line.
        keep: Fraction of every group's channels that a student keeps.
        size: Height and width of its inputs; None for generators from noise.
        labels: Number of labels of a generator of label maps.
    """

    family: str | None
    config: dict[str, Any]
    source: str
    keep: float = 1.0
    size: int | None = None
    labels: int = 0


_NOISE = {"resolution": 64, "channel_max": 128, "latent_size": 128}
_SPADE = {"ngf": 16, "in_channels": 6, "upsampling": "normal"}
NETWORKS = {
    "horse2zebra": Network("mobile_resnet_9blocks", {"ngf": 16}, "horse2zebra", size=128),
    "CartoonGAN": Network("cartoongan", {}, "CartoonGAN", size=64),
    "CartoonGAN student": Network("cartoongan", {}, "CartoonGAN", 0.3, 64),
    "x4plus": Network("rrdbnet", {"num_blocks": 23}, "x4plus", size=32),
    "x4plus student": Network("rrdbnet", {"num_blocks": 23}, "x4plus", 0.5, 32),
    "x4plus anime": Network("rrdbnet", {"num_blocks": 6}, "anime", size=32),
    "x4plus anime student": Network("rrdbnet", {"num_blocks": 6}, "anime", 0.5, 32),
    "compact upscaler": Network("srvggnet_compact", {}, "compact", size=64),
    "compact student": Network("srvggnet_compact", {}, "compact", 0.5, 64),
    "U-Net student": Network("unet_128", {"ngf": 32}, "U-Net", 0.5, 128),
    "StyleGAN2": Network("stylegan2", _NOISE, "StyleGAN2"),
    "StyleGAN2 student": Network("stylegan2", _NOISE, "StyleGAN2", 0.5),
    "SPADE student": Network("mobile_spade", _SPADE, "SPADE", 0.5, 64, labels=6),
    "vocoder student": Network(None, {}, "vocoder", 0.5, 64),
}


def vocoder() -> nn.Module:
    """Return a network from mel arrays [b, 80, t] to waveforms [b, 1, 64 * t]."""
    layers: list[nn.Module] = [nn.Conv1d(80, 128, 7, padding=3), nn.LeakyReLU(0.1)]
    for width, stride in ((64, 8), (32, 8)):
        layers += [nn.ConvTranspose1d(2 * width, width, 2 * stride, stride, stride // 2), nn.LeakyReLU(0.1)]
        layers += [nn.Conv1d(width, width, 7, padding=3), nn.LeakyReLU(0.1)]
    return nn.Sequential(*layers, nn.Conv1d(32, 1, 7, padding=3), nn.Tanh())


def with_random_weights(network: nn.Module) -> nn.Module:
    """Give weights the size that keeps that of activations, and norms random statistics."""
    for name, tensor in network.state_dict().items():
        if tensor.dim() > 2:
            tensor.normal_(0, (2 / tensor[0].numel()) ** 0.5)
        elif "running_var" in name:
            tensor.uniform_(0.5, 1.5)
    return network


def generator_of(network: Network, checkpoint: str | None, example: Tensor) -> Generator:
    """Return the student of a checkpoint, or of random weights."""
    torch.manual_seed(0)
    if checkpoint is not None:
        module = load_generator(Path(checkpoint)).build()
    elif network.family is None:
        module = with_random_weights(vocoder())
    else:
        module = build(network.family, network.config)
        module = module if network.family == "stylegan2" else with_random_weights(module)
    module.eval()
    return Generator.from_module(module if network.keep == 1 else gc.prune(module, example, keep=network.keep))


def inputs_of(network: Network, photos: Path | None) -> list[Tensor]:
    """Return batches of inputs as the network takes them: photographs, or else random numbers."""
    draw = torch.Generator().manual_seed(1)
    if network.size is None:
        values = torch.randn(NUM_INPUTS, network.config["latent_size"], generator=draw)
    elif network.family is None:
        values = torch.randn(NUM_INPUTS, 80, network.size, generator=draw)
    elif network.labels:
        labels = torch.randint(0, network.labels, (NUM_INPUTS, 8, 8), generator=draw)
        blocks = labels.repeat_interleave(network.size // 8, 1).repeat_interleave(network.size // 8, 2)
        values = nn.functional.one_hot(blocks, network.labels).permute(0, 3, 1, 2).float()
    elif photos is not None:
        values = torch.stack([picture(path, network.size) for path in sorted(photos.iterdir())[:NUM_INPUTS]])
    else:
        coarse = torch.rand(NUM_INPUTS, 3, 8, 8, generator=draw) * 2 - 1
        values = nn.functional.interpolate(coarse, size=(network.size,) * 2, mode="bicubic").clamp(-1, 1)
    return list(values.split(BATCH))


def picture(path: Path, size: int) -> Tensor:
    """Return the middle of a photograph [3, size, size] in [-1, 1]."""
    with Image.open(path) as image:
        side = min(image.size)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        square = image.convert("RGB").crop((left, top, left + side, top + side)).resize((size, size))
    return (
        torch.frombuffer(bytearray(square.tobytes()), dtype=torch.uint8).view(size, size, 3).permute(2, 0, 1).float()
        / 127.5
        - 1
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--checkpoint", action="append", default=[], metavar="NAME=FILE")
    parser.add_argument("--only", action="append", default=[], choices=NETWORKS)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--record", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    checkpoints = dict(each.split("=", 1) for each in arguments.checkpoint)
    record: Path | None = arguments.record
    found: dict[str, list[str]] = json.loads(record.read_text()) if record and record.exists() else {}
    torch.set_num_threads(1)
    print("| network | parameters | runtime | fp32, ms | int8, ms | times faster | int8 to float32 |")
    print("|---|---|---|---|---|---|---|")
    for name in arguments.only or NETWORKS:
        for runtime in FORMATS:
            key = f"{name} on {runtime}"
            if key not in found:
                with TemporaryDirectory() as folder:
                    checkpoint = checkpoints.get(NETWORKS[name].source)
                    found[key] = line_of(name, runtime, checkpoint, arguments, Path(folder))
                if record is not None:
                    record.write_text(json.dumps(found, indent=2))
            print(found[key][0], flush=True)
    print("", *(f"* {key}: {reason}" for key, (_, *reasons) in found.items() for reason in reasons), sep="\n")


def line_of(name: str, runtime: str, checkpoint: str | None, arguments: argparse.Namespace, folder: Path) -> list[str]:
    """Return the line of a network and a runtime, and with it why integers are slower there."""
    network = NETWORKS[name]
    batches = inputs_of(network, arguments.photos)
    generator = generator_of(network, checkpoint, batches[0][:1])
    module = generator.build()
    form = FileForm(module, (batches[0][:1],), axes=({},))
    images: list[Inputs] = [(batch,) for batch in batches]
    if network.labels:
        form = label_map_form(module, network.labels, batches[0][:1])
        images = [label_map_form(module, network.labels, batch).inputs for batch in batches]
    millions = sum(each.numel() for each in module.parameters()) / 1e6
    format = FORMATS[runtime]
    reports: dict[str, ExportReport | str] = {}
    for precision in ("fp32", "int8"):
        path = folder / precision / find_format(format)[1].file_name
        how = Precision(precision, images)
        reports[precision] = written(lambda: export_generator(generator, form, path, format, precision=how))  # noqa: B023
    line, reasons = row(reports, form.inputs, arguments.rounds)
    weights = "" if checkpoint else ", random weights"
    return [f"| {name}{weights} | {millions:.3g} M | {runtime} | {line} |", *reasons]


def written(export: Callable[[], ExportReport]) -> ExportReport | str:
    """Return the report of a file, or the reason that there is none."""
    try:
        return export()
    except GanCompressError as error:
        return str(error)


def row(reports: dict[str, ExportReport | str], inputs: Inputs, rounds: int) -> tuple[str, list[str]]:
    """Return the cells of a runtime's line, and the operators that take the time where integers are slower."""
    files = {precision: report for precision, report in reports.items() if isinstance(report, ExportReport)}
    refused = [report for report in reports.values() if isinstance(report, str)]
    if "fp32" not in files:
        return f" | | | {refused[0]}", []
    times = in_turns({precision: report.path for precision, report in files.items()}, inputs, rounds)
    ms = {precision: median(values) for precision, values in times.items()}
    if "int8" not in files:
        return f"{ms['fp32']:.1f} | | | {refused[0]}", []
    faster = median(a / b for a, b in zip(times["fp32"], times["int8"], strict=True))
    quality = files["int8"].quality
    kept = len(files["int8"].float_layers)
    cells = f"{ms['fp32']:.1f} | {ms['int8']:.1f} | {faster:.2f} | {quality and quality.psnr_db:.1f} dB" + (
        f", {kept} layers in float" if kept else ""
    )
    if faster >= 1:
        return cells, []
    spent = [f"{p}: {json.dumps(operators(files[p].path, inputs))}" for p in files]
    return cells, [f"{files['int8'].format}, ms: {'; '.join(spent)}"]


def in_turns(paths: dict[str, Path], inputs: Inputs, rounds: int) -> dict[str, list[float]]:
    """Return milliseconds of processor time of the runs of files, one thread each, in turns."""
    runs = {name: open_file(path, threads=1).run for name, path in paths.items()}
    times: dict[str, list[float]] = {name: [] for name in paths}
    for turn in range(rounds + 2):  # two to warm up
        for name, run in runs.items():
            start = time.process_time()
            run(inputs)
            if turn >= 2:
                times[name].append(1e3 * (time.process_time() - start))
    return times


def operators(path: Path, inputs: Sequence[Tensor]) -> dict[str, float]:
    """Return milliseconds of a run by kind of operator, the largest five."""
    if path.suffix == ".onnx":
        from gancompress.deploy.runtimes.onnx_runtime import OnnxRuntime

        spent = OnnxRuntime().profile(path, tuple(inputs), 1, 10)
    else:
        import openvino

        options = {"PERF_COUNT": True, "INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": "f32"}
        request = openvino.compile_model(path, "CPU", options).create_infer_request()
        for _ in range(5):
            request.infer([each.numpy() for each in inputs])
        spent = {}
        for each in request.get_profiling_info():
            kind = f"{each.node_type} {each.exec_type}"
            spent[kind] = spent.get(kind, 0.0) + each.real_time.total_seconds() * 1e3
    return {kind: round(ms, 2) for kind, ms in sorted(spent.items(), key=lambda part: -part[1])[:5]}


if __name__ == "__main__":
    main()
