"""Conversion of a network to ncnn by its converter pnnx, with what keeps that short: cut names, and small inputs."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from gancompress.deploy.axes import Inputs, of_shape
from gancompress.deploy.compute_types import FP16
from gancompress.deploy.runtimes.formats import Conversion
from gancompress.deploy.runtimes.packages import quiet
from gancompress.errors import ExportError

_TIMEOUT_S = 3600
_LEAST_SIZE = 8
"""Free sizes that are not halved any more."""


def convert(program: str, network: nn.Module, how: Conversion, folder: Path) -> tuple[Path, Path]:
    """Convert a network, traced as TorchScript.

    Args:
        program: Path of pnnx.
        network: The network, whose outputs are a tuple of tensors.
        how: Inputs, free axes and precision.
        folder: Folder for intermediate files.

    Returns:
        Paths of the description and of the weights.

    Raises:
        ExportError: pnnx fails, or does not end.
        ValueError: The network has an operator that is not PyTorch's own.
    """
    examples = tuple(tensor[:1] if tensor.dim() else tensor for tensor in how.inputs)
    axes = [{axis for axis in each if axis} for each in how.axes]  # ncnn has no batch
    script, param, weights = folder / "net.pt", folder / "net.ncnn.param", folder / "net.ncnn.bin"
    with quiet():
        with _CutNames():
            # The converter would refuse other inputs than those that the file stores.
            traced: Any = torch.jit.trace(network, examples, check_trace=False, _store_inputs=False)
        torch.jit.save(traced, script)
    small = _smallest(network, traced, examples, axes)
    shapes = [f"inputshape={_shapes(small)}"]
    if any(axes):
        shapes.append(f"inputshape2={_shapes(_scaled(small, axes, _twice))}")
    command = [program, script, *shapes, f"fp16={int(how.precision == FP16.name)}"]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        raise ExportError(
            f"ncnn export: pnnx did not end within {_TIMEOUT_S} s; export while the machine is less busy"
        ) from None
    if done.returncode or not (param.is_file() and weights.is_file()):
        if (unknown := re.search(r"^Unknown builtin op: (\S+)\.$", done.stderr, re.MULTILINE)) is not None:
            raise ValueError(f"ncnn has no operator {unknown[1]}")
        last = (done.stdout + done.stderr).strip().splitlines()[-1:]
        raise ExportError(f"ncnn export: pnnx ended with status {done.returncode}: {' '.join(last)}")
    return param, weights


class _CutNames(TorchFunctionMode):
    """Put a copy, which ncnn's files do not keep, behind every sum of two maps.

    pnnx (20261020) names the result of arithmetic by its whole formula, with the names of what goes in. A sum that the
    next one takes twice, as in blocks of residual blocks, doubles the name: after 23 blocks of an RRDBNet it has 10^8
    letters, and the converter does not end. The result of a copy has a short name.
    """

    _SUMS: tuple[Callable[..., Any], ...] = (
        torch.add,
        torch.sub,
        Tensor.add,
        Tensor.sub,
        Tensor.__add__,
        Tensor.__sub__,
        Tensor.__radd__,
        Tensor.__rsub__,
        Tensor.__iadd__,
        Tensor.__isub__,
    )

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        maps = [each for each in args[:2] if isinstance(each, Tensor) and each.dim() > 2]
        return result.clone() if func in self._SUMS and len(maps) == 2 else result


def _smallest(network: nn.Module, traced: Callable[..., Any], examples: Inputs, axes: Sequence[set[int]]) -> Inputs:
    """Return the example, or its halves, quarters and so on as long as the same sizes in the network are free.

    pnnx computes the whole network, several times and slowly, only for the shapes of its maps.
    """
    sizes = [each.shape[axis] for each, free in zip(examples, axes, strict=True) for axis in free]
    free = _free_sizes(network, examples, axes)
    while free and sizes and all(size % 2 == 0 and size >= 2 * _LEAST_SIZE for size in sizes):
        half = _scaled(examples, axes, lambda size: size // 2)
        if _free_sizes(network, half, axes) != free or not _runs(traced, half):
            break
        examples, sizes = half, [size // 2 for size in sizes]
    return examples


def _free_sizes(network: nn.Module, inputs: Inputs, axes: Sequence[set[int]]) -> list[list[bool]] | None:
    """Return, for every map in a network, the axes that grow with its inputs; None if its shapes depend on numbers."""
    try:
        one, larger = (_map_shapes(network, each) for each in (inputs, _scaled(inputs, axes, _twice)))
    except Exception:  # whatever the network raises for such a size
        return None
    if [len(shape) for shape in one] != [len(shape) for shape in larger]:
        return None
    return [[a != b for a, b in zip(*pair, strict=True)] for pair in zip(one, larger, strict=True)]


def _map_shapes(network: nn.Module, inputs: Inputs) -> list[torch.Size]:
    with FakeTensorMode(allow_non_fake_inputs=True) as fake:
        given = [fake.from_tensor(each) for each in inputs]
        with _Shapes() as seen:
            network(*given)
    return seen.shapes


class _Shapes(TorchDispatchMode):
    """Recorder of the shapes of all tensors that operators return."""

    def __init__(self) -> None:
        super().__init__()
        self.shapes: list[torch.Size] = []

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Return False: nothing is compiled here, and to import the compiler takes seconds."""
        return False

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        self.shapes.extend(each.shape for each in tree_leaves(result) if isinstance(each, Tensor))
        return result


def _runs(traced: Callable[..., Any], inputs: Inputs) -> bool:
    """Return whether a traced network, which may hold sizes of its example as constants, takes inputs."""
    try:
        traced(*inputs)
    except RuntimeError:
        return False
    return True


def _twice(size: int) -> int:
    return 2 * size


def _scaled(inputs: Inputs, axes: Sequence[set[int]], scale: Callable[[int], int]) -> Inputs:
    return tuple(
        of_shape(each, [scale(size) if axis in free else size for axis, size in enumerate(each.shape)])
        for each, free in zip(inputs, axes, strict=True)
    )


def _shapes(inputs: Sequence[Tensor]) -> str:
    types = {torch.float32: "f32", torch.int32: "i32", torch.int64: "i64", torch.bool: "bool"}
    return ",".join(f"[{','.join(map(str, each.shape))}]{types[each.dtype]}" for each in inputs)
