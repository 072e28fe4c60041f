"""Export of any module as a file of any format."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import Tensor, nn

from gancompress.deploy.axes import Axes, Inputs
from gancompress.deploy.parity import DEFAULT_TOLERANCE, ExportReport, PrecisionName
from gancompress.deploy.runtimes.packages import in_a_line
from gancompress.deploy.runtimes.registry import find_format, known_runtimes
from gancompress.errors import ConfigError, ExportError

_AT_ONCE = 40


def export_module(
    module: nn.Module,
    example_inputs: Inputs,
    path: str | os.PathLike[str],
    format: str | None = None,
    *,
    dynamic: Sequence[Axes] | None = None,
    input_names: Sequence[str] | None = None,
    output_names: Sequence[str] | None = None,
    metadata: Mapping[str, str] | None = None,
    other_inputs: Sequence[Inputs] | None = None,
    tolerance: float = DEFAULT_TOLERANCE,
    mean_tolerance: float = math.inf,
    reference: nn.Module | None = None,
    precision: PrecisionName = "fp32",
    integers: bool = False,
) -> ExportReport:
    """Write a module as a file once the format's runtime on the CPU agrees with eager.

    If the runtime cannot run on this machine (Core ML on other systems than macOS) the report states that the file was
    not compared.

    Args:
        module: Exported in evaluation mode; its state is restored.
        example_inputs: Its positional arguments, of any batch and a size that it accepts; the first case compared.
        path: The file to write. It is replaced atomically after every comparison has passed; folders are created.
        format: A name in `gancompress.deploy.known_formats`, or the import path of a `Runtime`; by default that of the
            path's ending.
        dynamic: For each input, the axes that stay free and their names; equal names mean equal sizes. By default
            ``batch, height, width`` of [N, C, H, W], ``batch, length`` of [N, C, L] and ``batch`` of all others; an
            input whose size differs in the example has names of its own (``style_height``). A format without free
            sizes ignores it.
        input_names: "input" by default, or "input_0", "input_1", ...
        output_names: In the order of the outputs; the converter's own names by default.
        metadata: Text to store in the file for its user, such as layout, range, colours.
        other_inputs: Further cases to compare. By default one for each free axis, with that axis alone larger: a batch
            by one, any other size twice, filled with values of the example.
        tolerance: The largest absolute difference allowed for any element of any output in any case.
        mean_tolerance: The largest mean absolute difference allowed on the example.
        reference: The network that the file is compared with; the module itself by default.
        precision: Precision to compute in, of those that the format applies itself (`Format.native`).
        integers: Let operators that only move values move integers, where the module rounds them.

    Returns:
        The file and the difference in each case.

    Raises:
        ConfigError: There is no such format.
        ExportError: A package is missing, ``dynamic`` or ``input_names`` do not fit the inputs, the converter refuses
            the module, a case does not run, a difference is larger than the tolerance or not a number, or the file
            cannot be written. No new file remains then; an existing one is unchanged.
    """
    path = Path(path)
    runtime, kind = find_format(_format_of(path) if format is None else format)
    return runtime.write(
        module,
        example_inputs,
        path,
        kind,
        dynamic=dynamic,
        input_names=input_names,
        output_names=output_names,
        metadata=metadata,
        other_inputs=other_inputs,
        tolerance=tolerance,
        mean_tolerance=mean_tolerance,
        reference=reference,
        precision=precision,
        integers=integers,
    )


def export_layers(modules: Sequence[nn.Module], inputs: Sequence[Tensor], folder: Path, format: str) -> list[Path]:
    """Write modules for timing, unchanged and at the size of their inputs, without comparing the files.

    Args:
        modules: Modules from one tensor to one.
        inputs: The input of each.
        folder: Folder for the files, which are named by number.
        format: A name in `gancompress.deploy.known_formats`.

    Raises:
        ExportError: A package is missing, or the converter refuses a module.
    """
    runtime, kind = find_format(format)
    paths = [folder / f"{number}{kind.ending}" for number in range(len(modules))]
    try:
        for start in range(0, len(modules), _AT_ONCE):
            some = slice(start, start + _AT_ONCE)
            runtime.write_layers(modules[some], inputs[some], paths[some])
    except (OSError, ExportError):
        raise
    except Exception as error:
        raise ExportError(f"{kind.name} of {len(modules)} layers failed: {in_a_line(error)}") from error
    return paths


def _format_of(path: Path) -> str:
    kinds = [each for runtime in known_runtimes().values() for each in runtime.formats if not each.page]
    found = next((each.name for each in kinds if each.ending == path.suffix), None)
    if found is None:
        endings = ", ".join(dict.fromkeys(each.ending for each in kinds))
        raise ConfigError(f"{path}: got the ending '{path.suffix}', expected one of {endings}; or name the format")
    return found
