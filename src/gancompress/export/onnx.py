"""A network as one ONNX file, compared with the network itself before the file gets its name."""

from __future__ import annotations

import importlib
import logging
import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from textwrap import shorten
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from gancompress.cost.measured import evaluation_mode
from gancompress.errors import ExportError

Inputs = tuple[Tensor, ...]
Axes = Mapping[int, str]

_AXES_BY_RANK: Mapping[int, Axes] = {
    0: {},
    3: {0: "batch", 2: "length"},
    4: {0: "batch", 2: "height", 3: "width"},
}


@dataclass(frozen=True)
class OnnxCase:
    """One comparison of onnxruntime with eager.

    Attributes:
        input_shapes: The shape of each input.
        max_abs: The largest absolute difference over all elements of all outputs.
        mean_abs: The mean absolute difference over the same.
    """

    input_shapes: tuple[tuple[int, ...], ...]
    max_abs: float
    mean_abs: float


@dataclass(frozen=True)
class OnnxReport:
    """An exported file and how far it is from eager.

    Attributes:
        path: The file; its weights are inside.
        file_bytes: Its size.
        opset: The version of the ONNX operators that it uses.
        cases: The example first, then one case for each other size.
    """

    path: Path
    file_bytes: int
    opset: int
    cases: tuple[OnnxCase, ...]

    @property
    def max_difference(self) -> float:
        """The largest absolute difference over all cases."""
        return max(case.max_abs for case in self.cases)


def export_onnx(
    module: nn.Module,
    example_inputs: Inputs,
    path: str | os.PathLike[str],
    *,
    dynamic: Sequence[Axes] | None = None,
    input_names: Sequence[str] | None = None,
    output_names: Sequence[str] | None = None,
    metadata: Mapping[str, str] | None = None,
    other_inputs: Sequence[Inputs] | None = None,
    tolerance: float = 1e-3,
) -> OnnxReport:
    """Write the module as one ONNX file with its weights inside, once onnxruntime on the CPU agrees with eager.

    Args:
        module: Exported in evaluation mode; left as it was found.
        example_inputs: Its positional arguments, of any batch and a size that it accepts; the first case compared.
        path: The file to write. It is replaced at once, when every comparison has passed; folders are made.
        dynamic: For each input, the axes that stay free and their names; equal names mean equal sizes. By default
            ``batch, height, width`` of [N, C, H, W], ``batch, length`` of [N, C, L] and ``batch`` of all others; an
            input whose size differs in the example has names of its own (``style_height``).
        input_names: "input" by default, or "input_0", "input_1", ...
        output_names: In the order of the outputs; the exporter's own names by default.
        metadata: Stored in the file (``metadata_props``): what its user must know, such as layout, range, colours.
        other_inputs: Further cases to compare. By default one for each free axis, in which that axis alone is
            larger: a batch by one, any other size twice, filled with values of the example.
        tolerance: The largest absolute difference allowed for any element of any output in any case; the default is an
            eighth of the step of an 8-bit image in [-1, 1].

    Returns:
        The file and the difference in each case.

    Raises:
        ExportError: A package is missing, ``dynamic`` or ``input_names`` do not fit the inputs, the exporter or the
            checker refuses the module, a case does not run, a difference is larger than the tolerance or not a
            number, or the file cannot be written. No new file is left then; one that was there before stays.
    """
    for package in ("onnx", "onnxscript", "onnxruntime"):
        _optional(package)
    input_names = _numbered("input", len(example_inputs)) if input_names is None else input_names
    dynamic = _default_axes(example_inputs, input_names) if dynamic is None else dynamic
    if not len(dynamic) == len(input_names) == len(example_inputs):
        raise ExportError(
            f"ONNX export: got {len(example_inputs)} inputs, {len(input_names)} input_names and {len(dynamic)} entries "
            "of dynamic; expected one name and one mapping of axes for each input"
        )
    if other_inputs is None:
        other_inputs = _one_larger_axis_each(example_inputs, dynamic)

    path = Path(path)
    with evaluation_mode(module), torch.no_grad(), _draft_of(path) as draft:
        opset = _write(module, example_inputs, draft, dynamic, input_names, output_names, metadata or {})
        run = _runtime(draft)
        cases = tuple(_compare(module, run, case, tolerance) for case in (example_inputs, *other_inputs))
    return OnnxReport(path, path.stat().st_size, opset, cases)


def _optional(package: str) -> Any:
    try:
        with _quiet():
            return importlib.import_module(package)
    except ImportError as error:
        raise ExportError(
            f"ONNX export needs the package {package}, which cannot be imported ({_reason(error)}): "
            "pip install 'gancompress[onnx]'"
        ) from error


@contextmanager
def _draft_of(path: Path) -> Iterator[Path]:
    """A file beside the path that takes its place when all has gone well, and is gone otherwise."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{path.stem}.{os.getpid()}.onnx")
        try:
            yield draft
            os.replace(draft, path)
        finally:
            draft.unlink(missing_ok=True)
    except OSError as error:
        raise ExportError(
            f"ONNX export: cannot write {path}: {error.strerror}; make room there, and run it again"
        ) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what the exporter and the packages below it say about themselves."""
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)


def _numbered(name: str, number: int) -> list[str]:
    return [name] if number == 1 else [f"{name}_{index}" for index in range(number)]


def _default_axes(inputs: Inputs, names: Sequence[str]) -> list[Axes]:
    def axes(tensor: Tensor, name: str) -> Axes:
        like = next(each for each in inputs if each.dim() == tensor.dim())
        return {
            axis: size if axis == 0 or tensor.shape[axis] == like.shape[axis] else f"{name}_{size}"
            for axis, size in _AXES_BY_RANK.get(tensor.dim(), {0: "batch"}).items()
        }

    return [axes(tensor, name) for tensor, name in zip(inputs, names, strict=True)]


def _one_larger_axis_each(inputs: Inputs, dynamic: Sequence[Axes]) -> list[Inputs]:
    """A case for each free axis. The other axes keep their sizes, so that a failure tells which one is not free."""

    def larger(axis: int, size: int) -> int:
        return size + 1 if axis == 0 else 2 * size  # a network that halves its images takes twice a size that it takes

    names = dict.fromkeys(name for axes in dynamic for name in axes.values())
    return [
        tuple(
            _of_shape(tensor, [larger(i, n) if axes.get(i) == name else n for i, n in enumerate(tensor.shape)])
            for tensor, axes in zip(inputs, dynamic, strict=True)
        )
        for name in names
    ]


def _of_shape(example: Tensor, shape: Sequence[int]) -> Tensor:
    """A tensor of this shape whose values are drawn from the example, the same every time: type and range are right."""
    if tuple(shape) == tuple(example.shape):
        return example
    drawn = torch.randint(example.numel(), tuple(shape), generator=torch.Generator().manual_seed(0))
    return example.flatten()[drawn.to(example.device)]


def _write(
    module: nn.Module,
    inputs: Inputs,
    path: Path,
    dynamic: Sequence[Axes],
    input_names: Sequence[str],
    output_names: Sequence[str] | None,
    metadata: Mapping[str, str],
) -> int:
    """Write and check the file; returns its opset."""
    # A free axis of size 1 would be taken for a constant.
    free = [
        [max(n, 2) if i in axes else n for i, n in enumerate(x.shape)] for x, axes in zip(inputs, dynamic, strict=True)
    ]
    traced = tuple(_of_shape(tensor, shape) for tensor, shape in zip(inputs, free, strict=True))
    try:
        with _quiet():
            program = torch.onnx.export(
                module,
                traced,
                dynamo=True,
                verbose=False,
                dynamic_shapes=tuple(dict(axes) for axes in dynamic),
                input_names=list(input_names),
                output_names=list(output_names) if output_names else None,
            )
            assert program is not None  # it is None only where the exporter itself writes the file
            program.model.metadata_props.update(metadata)
            for node in program.model.graph.all_nodes():
                node.metadata_props.clear()  # names files of this machine, and may outweigh a small network
            program.save(path, external_data=False)
            _optional("onnx").checker.check_model(path, full_check=True)
    except OSError:
        raise  # the disk's fault, which `_draft_of` tells
    except Exception as error:
        raise ExportError(f"ONNX export of {type(module).__name__} failed: {_reason(error)}") from error
    return program.model.opset_imports[""]


def _reason(error: BaseException) -> str:
    """One line: what the error came from, without the advice around it."""
    while error.__cause__ is not None:
        error = error.__cause__
    return shorten(str(error) or type(error).__name__, 300, placeholder=" ...")


def _runtime(path: Path) -> Callable[[Inputs], list[Tensor]]:
    """The file in onnxruntime on the CPU, as a function."""
    onnxruntime = _optional("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what goes wrong is raised; the log would say it twice
    try:
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise ExportError(f"{path}: onnxruntime cannot run the exported file: {_reason(error)}") from error
    names = [each.name for each in session.get_inputs()]

    def run(inputs: Inputs) -> list[Tensor]:
        arrays = [tensor.detach().cpu().numpy() for tensor in inputs]
        return [torch.from_numpy(array) for array in session.run(None, dict(zip(names, arrays, strict=True)))]

    return run


def _compare(module: nn.Module, run: Callable[[Inputs], list[Tensor]], inputs: Inputs, tolerance: float) -> OnnxCase:
    shapes = tuple(tuple(tensor.shape) for tensor in inputs)
    name = type(module).__name__
    where = f"with inputs {', '.join(map(str, shapes))}"
    try:
        expected = [output.cpu() for output in tree_leaves(module(*inputs)) if isinstance(output, Tensor)]
    except Exception as error:
        raise ExportError(
            f"ONNX export of {name}: the module itself does not run {where}: {_reason(error)}; "
            "pass other_inputs that it takes, or leave that axis out of dynamic"
        ) from error
    try:
        got = run(inputs)
    except Exception as error:
        raise ExportError(
            f"ONNX export of {name}: the file does not run {where}: {_reason(error)}; "
            "the code fixes a size there: leave that axis out of dynamic"
        ) from error

    if [output.shape for output in got] != [output.shape for output in expected]:
        raise ExportError(
            f"ONNX export of {name}: the file returns shapes {[tuple(output.shape) for output in got]} {where}, "
            f"eager {[tuple(output.shape) for output in expected]}"
        )
    differences = [(a.double() - b.double()).abs() for a, b in zip(got, expected, strict=True)]
    for index, difference in enumerate(differences):
        if not bool((difference <= tolerance).all()):
            place = tuple(int(i) for i in torch.unravel_index(difference.argmax(), difference.shape))
            raise ExportError(
                f"ONNX export of {name}: output {index} is {difference[place]:.2g} from eager at {list(place)} {where} "
                f"(eager {expected[index][place]:.6g}, file {got[index][place]:.6g}); the tolerance is {tolerance:.2g}"
            )
    total = torch.cat([difference.flatten() for difference in differences])
    return OnnxCase(shapes, float(total.max()), float(total.mean()))
