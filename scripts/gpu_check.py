"""Time networks and their students on a GPU, and print one table in Markdown.

    python scripts/gpu_check.py [--device cuda] [--minutes 13] [--only NAME ...] [--part PART ...] [--tiny]

Inference at batch 1 and 16: eager in float32, under autocast in bf16 and fp16, compiled, as a CUDA graph, and with
onnxruntime on CUDA or TensorRT where it is installed. Training: images per second of a distillation step and its
synchronisations of host and GPU. Two processes: the same training in two processes on the one GPU. What fails is a line
with the reason; what the time does not suffice for is left out, and a line says so. ``--device cpu --tiny`` runs all
that needs no GPU, on small networks.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

import gancompress as gc
from gancompress.deploy import export_module
from gancompress.networks.registry import build

Network = tuple[str, dict[str, Any], tuple[int, ...]]
NETWORKS: dict[str, Network] = {
    "ResNet-9": ("resnet_9blocks", {"ngf": 64}, (3, 256, 256)),
    "SPADE": ("mobile_spade", {"ngf": 64, "in_channels": 36, "upsampling": "more"}, (36, 256, 512)),
    "StyleGAN2": ("stylegan2", {"resolution": 256}, (512,)),
    "RRDBNet": ("rrdbnet", {}, (3, 64, 64)),
}
TINY: dict[str, Network] = {
    "ResNet-9": ("resnet", {"ngf": 8, "num_blocks": 1}, (3, 16, 16)),
    "SPADE": ("mobile_spade", {"ngf": 8, "in_channels": 6, "upsampling": "normal"}, (6, 64, 64)),
    "StyleGAN2": ("stylegan2", {"resolution": 8, "channel_max": 16, "latent_size": 8}, (8,)),
    "RRDBNet": ("rrdbnet", {"nf": 16, "growth": 8, "num_blocks": 1}, (3, 8, 8)),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("--minutes", type=float, default=13.0, help="nothing is begun later")
    parser.add_argument("--only", action="append", default=[], choices=NETWORKS)
    parser.add_argument("--part", action="append", default=[], choices=PARTS)
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--process", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device: got cuda without a GPU, expected one, or --device cpu")
    if arguments.device == "cpu":
        os.environ["ACCELERATE_USE_CPU"] = "true"
    if arguments.process:
        train_in_one_of_two(arguments)
        return
    end = time.monotonic() + 60 * arguments.minutes
    name = torch.cuda.get_device_name() if arguments.device == "cuda" else "CPU"
    print(f"{name}, torch {torch.__version__}, {torch.get_num_threads()} threads\n")
    for part in arguments.part or PARTS:
        PARTS[part](arguments, end)
        print(flush=True)


def teacher_and_student(arguments: argparse.Namespace, name: str) -> tuple[nn.Module, nn.Module, tuple[int, ...]]:
    """Return a network of random weights and its student at half the width, and the shape of an input."""
    family, config, shape = (TINY if arguments.tiny else NETWORKS)[name]
    torch.manual_seed(0)
    teacher = build(family, config).eval()
    return teacher, gc.prune(teacher, torch.randn(1, *shape), keep=0.5), shape


def inference(arguments: argparse.Namespace, end: float) -> None:
    """Print a line for each network, batch and way to run it."""
    print("| network | batch | run as | ms | images/s | times faster than the teacher, eager | largest difference |")
    print("|---|---|---|---|---|---|---|")
    for name in arguments.only or NETWORKS:
        teacher, student, shape = teacher_and_student(arguments, name)
        for batch in (1, 2 if arguments.tiny else 16):
            inputs = torch.randn(batch, *shape).to(arguments.device)
            whole_ms = None
            for title, network in ((name, teacher), (f"{name}, student", student)):
                network.to(arguments.device)
                with torch.no_grad():
                    expected = first(network(inputs)).float().cpu()
                for way, prepare in ways(network, inputs, arguments.device):
                    if time.monotonic() > end:
                        print(f"| {title} | {batch} | {way} | not run: the time is over | | | |", flush=True)
                        continue
                    try:
                        run = prepare()
                        got = first(run()).float().cpu()
                        ms = milliseconds(run, arguments)
                    except Exception as error:
                        print(f"| {title} | {batch} | {way} | {reason(error)} | | | |", flush=True)
                        continue
                    whole_ms = ms if whole_ms is None else whole_ms
                    far = float((got - expected).abs().max())
                    cells = f"{ms:.2f} | {1e3 * batch / ms:.0f} | {whole_ms / ms:.2f} | {far:.1e}"
                    print(f"| {title} | {batch} | {way} | {cells} |", flush=True)
                    torch.compiler.reset()


def ways(network: nn.Module, inputs: Tensor, device: str) -> Iterator[tuple[str, Callable[[], Callable[[], Any]]]]:
    """Yield ways to run a network: a title, and a function that prepares a function of no arguments."""

    def plain() -> Callable[[], Any]:
        return without_gradients(lambda: network(inputs))

    def autocast(dtype: torch.dtype) -> Callable[[], Any]:
        def run() -> Any:
            with torch.autocast(device, dtype):
                return network(inputs)

        return without_gradients(run)

    def compiled() -> Callable[[], Any]:
        made = torch.compile(network)
        return without_gradients(lambda: made(inputs))

    def graph() -> Callable[[], Any]:
        return recorded(network, inputs)

    yield "eager", plain
    yield "eager, bf16", lambda: autocast(torch.bfloat16)
    if device == "cpu":
        return
    yield "eager, fp16", lambda: autocast(torch.float16)
    yield "CUDA graph", graph
    yield "compiled", compiled
    try:
        import onnxruntime
    except ImportError:
        return
    for provider in ("CUDAExecutionProvider", "TensorrtExecutionProvider"):
        if provider in onnxruntime.get_available_providers():
            yield f"onnxruntime, {provider}", lambda provider=provider: session(network, inputs, provider)


def without_gradients(run: Callable[[], Any]) -> Callable[[], Any]:
    """Return a function that runs without recording gradients."""
    return torch.no_grad()(run)


@torch.no_grad()
def recorded(network: nn.Module, inputs: Tensor) -> Callable[[], Any]:
    """Return a replay of a CUDA graph; the outputs are overwritten by the next one."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            network(inputs)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        outputs = network(inputs)

    def run() -> Any:
        graph.replay()
        return outputs

    return run


def session(network: nn.Module, inputs: Tensor, provider: str) -> Callable[[], Any]:
    """Return a run of an ONNX file of one size; inputs and outputs are copied from and to the host."""
    import onnxruntime

    network.cpu()
    try:
        with TemporaryDirectory() as folder:
            report = export_module(network, (inputs.cpu(),), Path(folder, "model.fixed.onnx"), "onnx_fixed")
            made = onnxruntime.InferenceSession(report.path, providers=[provider])
    finally:
        network.to(inputs.device)
    if made.get_providers()[0] != provider:
        raise RuntimeError(f"onnxruntime does not take {provider} here")
    given = {made.get_inputs()[0].name: inputs.cpu().numpy()}
    return lambda: torch.from_numpy(made.run(None, given)[0])


def milliseconds(run: Callable[[], Any], arguments: argparse.Namespace) -> float:
    """Return the median time of a run, after a few that do not count."""
    least, seconds = (3, 0.0) if arguments.tiny else (10, 1.0)
    for _ in range(least):
        run()
    times: list[float] = []
    while len(times) < least or sum(times) < 1e3 * seconds:
        synchronize(arguments.device)
        start = time.perf_counter()
        run()
        synchronize(arguments.device)
        times.append(1e3 * (time.perf_counter() - start))
    return median(times)


def training(arguments: argparse.Namespace, end: float) -> None:
    """Print the images per second of distillation, and the synchronisations of a step."""
    print("| training | batch | images/s | synchronisations a step |")
    print("|---|---|---|---|")
    for name in arguments.only or NETWORKS:
        if time.monotonic() > end:
            print(f"| {name} | | not run: the time is over | |", flush=True)
            continue
        try:
            batch, rate, waits = trained(arguments, name)
        except Exception as error:
            print(f"| {name} | | {reason(error)} | |", flush=True)
            continue
        print(f"| {name} | {batch} | {rate:.1f} | {'' if waits is None else f'{waits:.1f}'} |", flush=True)


def trained(arguments: argparse.Namespace, name: str) -> tuple[int, float, float | None]:
    """Return the batch, and images per second and synchronisations a step, from the difference of two runs."""
    teacher, student, shape = teacher_and_student(arguments, name)
    batch, steps = (1, 2) if arguments.tiny else (4, 20)
    drawn = [torch.randn(batch, *shape) for _ in range(4)]
    measured: list[tuple[float, int]] = []
    for num_steps in (steps, steps, 3 * steps):  # the first one compiles kernels
        with synchronisations(arguments.device) as waits:
            start = time.perf_counter()
            how = {"images": num_steps * batch, "batch_size": batch, "progress": False}
            gc.distill(student, teacher, lambda: drawn, terms=[gc.losses.L1(10)], **how)
            synchronize(arguments.device)
        measured.append((time.perf_counter() - start, len(waits)))
    (short, few), (long, many) = measured[1:]
    rate = 2 * steps * batch / max(long - short, 1e-9)
    return batch, rate, (many - few) / (2 * steps) if arguments.device == "cuda" else None


@contextmanager
def synchronisations(device: str) -> Iterator[list[Any]]:
    """Yield a list that holds a warning for each synchronisation of host and GPU at the end."""
    found: list[Any] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        if device == "cuda":
            torch.cuda.set_sync_debug_mode("warn")
        try:
            yield found
        finally:
            if device == "cuda":
                torch.cuda.set_sync_debug_mode("default")
            found += [each for each in caught if "synchronizing CUDA operation" in str(each.message)]


def two_processes(arguments: argparse.Namespace, end: float) -> None:
    """Print the images per second of the first network's training in two processes on one device."""
    print("| two processes, gloo | images/s together | weights are the same |")
    print("|---|---|---|")
    name = next(iter(arguments.only or NETWORKS))
    if time.monotonic() > end:
        print(f"| {name} | not run: the time is over | |")
        return
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", __file__]
    command += ["--process", "--device", arguments.device, "--only", name, *(["--tiny"] if arguments.tiny else [])]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=180)
    except subprocess.TimeoutExpired:
        print(f"| {name} | not ready after 180 s | |")
        return
    lines = [line for line in done.stdout.splitlines() if line.startswith("| ")]
    print(lines[-1] if lines else f"| {name} | {reason(RuntimeError(done.stderr))} | |")


def train_in_one_of_two(arguments: argparse.Namespace) -> None:
    """Train as one of two processes, by gloo, because NCCL refuses two processes on one GPU."""
    os.environ["LOCAL_RANK"] = "0"  # of the device
    torch.distributed.init_process_group("gloo")
    name = arguments.only[0]
    teacher, student, shape = teacher_and_student(arguments, name)
    student = nn.parallel.DistributedDataParallel(student.to(arguments.device).train())
    teacher.to(arguments.device)
    optimizer = torch.optim.Adam(student.parameters(), 2e-4)
    batch, steps = (1, 3) if arguments.tiny else (2, 30)
    torch.manual_seed(torch.distributed.get_rank())
    start = time.perf_counter()
    for step in range(steps):
        if step == steps // 3:
            synchronize(arguments.device)
            start = time.perf_counter()
        inputs = torch.randn(batch, *shape).to(arguments.device)
        with torch.no_grad():
            target = first(teacher(inputs))
        optimizer.zero_grad()
        (first(student(inputs)) - target).abs().mean().backward()
        optimizer.step()
    synchronize(arguments.device)
    rate = 2 * batch * (steps - steps // 3) / (time.perf_counter() - start)
    total = torch.stack([each.detach().double().sum() for each in student.parameters()]).cpu()
    both = [torch.zeros_like(total) for _ in range(2)]
    torch.distributed.all_gather(both, total)
    if torch.distributed.get_rank() == 0:
        print(f"| {name} | {rate:.1f} | {'yes' if torch.equal(*both) else 'no'} |")
    torch.distributed.destroy_process_group()


def first(result: Any) -> Tensor:
    """Return the first tensor of a network's result."""
    return next(each for each in tree_leaves(result) if isinstance(each, Tensor))


def synchronize(device: str) -> None:
    """Wait for the GPU."""
    if device == "cuda":
        torch.cuda.synchronize()


def reason(error: BaseException) -> str:
    """Return an error as a cell of a table."""
    lines: Sequence[str] = (str(error).strip() or type(error).__name__).splitlines()
    return f"failed: {lines[-1][:160]}".replace("|", "/")


PARTS = {"inference": inference, "training": training, "two-processes": two_processes}

if __name__ == "__main__":
    main()
