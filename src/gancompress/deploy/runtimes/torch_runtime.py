"""Runtime PyTorch: networks in eager, compiled or as CUDA graphs, and torch.export programs (``.pt2``)."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from gancompress.deploy.axes import to_trace
from gancompress.deploy.rewrites import FASTER, rewritten
from gancompress.deploy.runtimes.formats import Conversion, Format, Mode, Usage
from gancompress.deploy.runtimes.packages import in_a_line
from gancompress.deploy.runtimes.registry import register_runtime
from gancompress.deploy.runtimes.runner import Input, Runner
from gancompress.deploy.runtimes.runtime import Runtime
from gancompress.deploy.runtimes.zipped_metadata import METADATA_FILE
from gancompress.errors import ExportError
from gancompress.networks.generator import Generator

"""Name of the metadata inside a torch.export program: one JSON object."""


def eager(network: nn.Module, device: str = "cpu") -> Runner:
    """Return a network in evaluation mode as a function."""
    network = network.eval().to(device)

    @torch.inference_mode()
    def run(values: tuple[Tensor, ...]) -> list[Tensor]:
        outputs = tree_leaves(network(*(tensor.to(device) for tensor in values)))
        return [output.cpu() for output in outputs if isinstance(output, Tensor)]

    return Runner(run)


def compiled(network: nn.Module, device: str = "cpu") -> Runner:
    """Return a network that `torch.compile` compiles when it first runs on a shape, which takes up to minutes."""
    network, _ = rewritten(network, ["folded_spectral_norms"])
    return eager(torch.compile(network.eval(), dynamic=False), device)  # type: ignore[arg-type]


def cuda_graph(network: nn.Module) -> Runner:
    """Return a network whose kernels are recorded when it first runs on a shape, and launched together afterwards.

    Source: https://docs.pytorch.org/docs/stable/notes/cuda.html#cuda-graphs
    """
    network = network.eval().to("cuda")
    recorded: dict[tuple[torch.Size, ...], Callable[[tuple[Tensor, ...]], list[Tensor]]] = {}

    def run(values: tuple[Tensor, ...]) -> list[Tensor]:
        shapes = tuple(tensor.shape for tensor in values)
        if shapes not in recorded:
            recorded[shapes] = _record(network, values)
        return recorded[shapes](values)

    return Runner(run)


@torch.inference_mode()
def _record(network: nn.Module, values: tuple[Tensor, ...]) -> Callable[[tuple[Tensor, ...]], list[Tensor]]:
    inputs = [tensor.to("cuda") for tensor in values]
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        for _ in range(3):
            network(*inputs)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        outputs = tree_leaves(network(*inputs))

    @torch.inference_mode()
    def replay(new: tuple[Tensor, ...]) -> list[Tensor]:
        for place, tensor in zip(inputs, new, strict=True):
            place.copy_(tensor)
        graph.replay()
        return [output.cpu() for output in outputs]

    return replay


@dataclass(frozen=True, kw_only=True)
class _NetworkMode(Mode):
    """Mode that runs networks themselves.

    Attributes:
        run: Function that opens a network.
        cuda: Whether it runs on a GPU.
    """

    run: Callable[[nn.Module], Runner]
    cuda: bool = False


@register_runtime
class Torch(Runtime):
    """PyTorch."""

    name = "torch"
    title = "PyTorch"
    runs_on = "PyTorch without the code of the network"
    package = "torch"
    runs_code = True  # torch.export.load unpickles, and looks up operators by names in the file
    formats = (
        Format(name="torch", file_name="model.pt2", title="PyTorch program", rewrites=FASTER, strict_ending=True),
    )
    modes = (
        _NetworkMode(
            name="eager", title="PyTorch, exported program", endings=(".pt2",), layer_format="torch", run=eager
        ),
        _NetworkMode(name="compiled", title="PyTorch, compiled", on_request=True, run=compiled),
        _NetworkMode(name="cuda", title="PyTorch, GPU", run=partial(eager, device="cuda"), cuda=True, elsewhere=True),
        _NetworkMode(name="cuda_graph", title="PyTorch, CUDA graph", run=cuda_graph, cuda=True, elsewhere=True),
    )

    def convert(self, network: nn.Module, path: Path, how: Conversion) -> None:
        """Write a program of PyTorch operators, which takes its inputs by position."""
        free = tuple(dict.fromkeys(each, torch.export.Dim.DYNAMIC) for each in how.axes)
        program = torch.export.export(network, to_trace(how.inputs, how.axes), dynamic_shapes=free)
        torch.export.save(program, path, extra_files={METADATA_FILE: json.dumps(dict(how.metadata))})

    def open(self, path: Path, threads: int | None = None, precision: str | None = None) -> Runner:
        """Open a torch.export program, run by eager kernels on PyTorch's own threads.

        Raises:
            ExportError: It is not one, or of another version of PyTorch.
        """
        extra = {METADATA_FILE: ""}
        try:
            program = torch.export.load(path, extra_files=extra)
            module = program.module()
        except Exception as error:
            raise ExportError(f"{path}: PyTorch cannot read the program: {in_a_line(error)}") from error

        @torch.inference_mode()
        def run(values: tuple[Tensor, ...]) -> list[Tensor]:
            return [output for output in tree_leaves(module(*values)) if isinstance(output, Tensor)]

        values = {node.name: node.meta["val"] for node in program.graph.nodes if node.op == "placeholder"}
        inputs = tuple(
            Input(
                name, tuple(size if isinstance(size, int) else None for size in values[name].shape), values[name].dtype
            )
            for name in program.graph_signature.user_inputs
            if isinstance(name, str)
        )
        return Runner(run, json.loads(extra[METADATA_FILE] or "{}"), inputs)

    def usage(self, file: str, inputs: Mapping[str, str], precision: str, threads: int | None = None) -> Usage:
        """Return Python that runs a program with PyTorch."""
        tensors = ", ".join(f"torch.from_numpy({variable})" for variable in inputs.values())
        limit = "" if threads is None else f"torch.set_num_threads({threads})\n"
        return Usage(
            "import numpy\nimport torch\n\n",
            f'{limit}network = torch.export.load("{file}").module()\n',
            f"result = network({tensors}).detach()\n",
        )

    def unavailable(self, mode: Mode) -> str | None:
        """Return a message if the mode needs a GPU and there is none; None otherwise."""
        needs_gpu = isinstance(mode, _NetworkMode) and mode.cuda
        return "needs a CUDA GPU" if needs_gpu and not torch.cuda.is_available() else None

    def opened(self, mode: Mode, path: Path, threads: int | None) -> Runner:
        """Open a program or a saved generator in a mode."""
        if path.suffix in self.endings:
            return self.open(path, threads)
        assert isinstance(mode, _NetworkMode)
        return mode.run(Generator.load(path, trust=True).build())  # written or read by the process that times it

    def peak_bytes(self, mode: Mode, before: int | None) -> int | None:
        """Return peak memory of the GPU for modes on a GPU, of this process for others."""
        if isinstance(mode, _NetworkMode) and mode.cuda:
            return torch.cuda.max_memory_allocated()
        return super().peak_bytes(mode, before)
