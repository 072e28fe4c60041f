"""Networks run by PyTorch: eager, compiled, from a torch.export program, on the CPU or a GPU."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from gancompress.errors import ExportError
from gancompress.export.runtimes.packages import in_a_line
from gancompress.export.runtimes.runner import Input, Runner

METADATA_FILE = "gancompress.json"
"""The metadata inside a torch.export program: one JSON object."""


def eager(network: nn.Module, device: str = "cpu") -> Runner:
    """A network as it is, in evaluation mode."""
    network = network.eval().to(device)

    @torch.inference_mode()
    def run(values: tuple[Tensor, ...]) -> list[Tensor]:
        outputs = tree_leaves(network(*(tensor.to(device) for tensor in values)))
        return [output.cpu() for output in outputs if isinstance(output, Tensor)]

    return Runner(run)


def compiled(network: nn.Module, device: str = "cpu") -> Runner:
    """A network compiled by `torch.compile` when it first runs on a shape, which takes up to minutes."""
    return eager(torch.compile(network.eval(), dynamic=False), device)  # type: ignore[arg-type]


def cuda_graph(network: nn.Module) -> Runner:
    """A network whose kernels are recorded when it first runs on a shape, and launched together from then on.

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


def open_program(path: Path) -> Runner:
    """A torch.export program (``.pt2``), run by eager kernels.

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
        Input(name, tuple(size if isinstance(size, int) else None for size in values[name].shape), values[name].dtype)
        for name in program.graph_signature.user_inputs
        if isinstance(name, str)
    )
    return Runner(run, json.loads(extra[METADATA_FILE] or "{}"), inputs)
