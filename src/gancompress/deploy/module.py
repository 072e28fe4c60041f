"""Export of any module as a file of any format."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from torch import Tensor, nn

from gancompress.deploy.axes import Inputs, input_names
from gancompress.deploy.file_options import DEFAULT_OPTIONS, FileOptions
from gancompress.deploy.parity import ExportReport
from gancompress.deploy.runtimes.packages import in_a_line
from gancompress.deploy.runtimes.registry import find_format, format_of
from gancompress.deploy.side_effects import repeatable
from gancompress.errors import ExportError

_AT_ONCE = 40


def export_module(
    module: nn.Module,
    example_inputs: Inputs,
    path: str | os.PathLike[str],
    format: str | None = None,
    options: FileOptions = DEFAULT_OPTIONS,
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
        options: Free axes, names, metadata, precision, and tolerances.

    Returns:
        The file and the difference in each case.

    Raises:
        ConfigError: There is no such format.
        ExportError: The network draws random numbers, a package is missing, the options do not fit the inputs, the
            converter refuses the module, a case does not run, a difference is larger than the tolerance or not a
            number, or the file cannot be written. No new file remains then; an existing one is unchanged.
    """
    path = Path(path)
    runtime, kind = find_format(format_of(path) if format is None else format)
    if options.output_names is None:
        what = f"export of {type(options.reference or module).__name__}"
        taken = options.input_names or input_names(example_inputs)
        module, outputs = repeatable(module, example_inputs, what, tuple(taken))
        options = replace(options, output_names=outputs or None)
    return runtime.write(lambda: module, example_inputs, path, kind, options)


def export_layers(modules: Sequence[nn.Module], inputs: Sequence[Tensor], folder: Path, format: str) -> list[Path]:
    """Write modules for timing, unchanged and at the size of their inputs, without comparing the files.

    Args:
        modules: Modules from one tensor to one.
        inputs: The input of each.
        folder: Folder for the files, which are named by number.
        format: A name in `gancompress.deploy.known_formats`.

    Raises:
        ExportError: The network draws random numbers, or a package is missing, or the converter refuses a module.
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
