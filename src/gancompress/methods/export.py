"""Export of any network to a file that runs without PyTorch; it is checked before it gets its final name."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from gancompress.deploy import (
    DEFAULT_MIN_PSNR_DB,
    ExportReport,
    Precision,
    PrecisionName,
    export_generator,
    known_formats,
)
from gancompress.errors import DataError, ExportError, nearest
from gancompress.methods.data import Batches, Data, as_arguments
from gancompress.networks.file_form import FileForm
from gancompress.networks.generator import Generator

_CALIBRATION_BATCHES = 64


def export(
    network: nn.Module,
    x: Any,
    path: str | Path,
    *,
    format: str | None = None,
    precision: PrecisionName = "fp32",
    calibration: Data | None = None,
    min_psnr_db: float = DEFAULT_MIN_PSNR_DB,
    input_names: Sequence[str] | None = None,
    metadata: Mapping[str, str] | None = None,
) -> ExportReport:
    """Export a network to one file, and check the file against the network.

    Args:
        network: Any module; unchanged after the call.
        x: An input, or a tuple of all arguments of the forward pass.
        path: The file to write; its suffix selects the format: ``.onnx``, ``.xml`` (OpenVINO), ``.pt2``, ``.mlpackage``
            or ``.tflite``.
        format: A name of `gancompress.deploy.known_formats`, if the suffix does not determine the format.
        precision: ``int8`` needs calibration images; ``fp16`` and ``bf16`` if the format supports them.
        calibration: Inputs like those in deployment: for ``int8`` at least 32, a quarter of which measures the
            difference between file and network.
        min_psnr_db: For ``int8``: layers stay float until the output has at least this PSNR to that of the network.
        input_names: Names of the inputs in the file.
        metadata: Text to store in the file, such as the range of its inputs.

    Returns:
        Report of the file and its difference from the network.

    Raises:
        ExportError: There is no such format or ending, a package is missing, or the file disagrees with the network.
        DataError: ``int8`` got too few calibration images.
        BudgetError: No choice of float layers reaches ``min_psnr_db``.
    """
    path = Path(path)
    kind = _format_of(path) if format is None else format
    arguments = tuple(each.cpu() if isinstance(each, Tensor) else each for each in as_arguments(x))
    if precision == "int8" and calibration is None:
        raise DataError(
            "export: got precision 'int8' without calibration, expected inputs like those that the network will see; "
            "give calibration=batches"
        )
    images = [] if calibration is None else _in_parts(calibration, len(arguments))
    names = None if input_names is None else tuple(input_names)
    module = copy.deepcopy(network).cpu().eval()
    generator = Generator.from_module(module)
    form = FileForm(module, arguments, names, facts=metadata or {})
    return export_generator(generator, form, path, kind, precision=Precision(precision, images, min_psnr_db))


def _format_of(path: Path) -> str:
    endings = {each.ending: name for name, each in reversed(known_formats().items())}
    if path.suffix not in endings:
        raise ExportError(
            f"export: got the ending '{path.suffix}', expected one of {', '.join(sorted(endings))}; "
            f"{nearest(path.suffix, endings)}"
        )
    return endings[path.suffix]


def _in_parts(data: Data, num_arguments: int) -> list[tuple[Tensor, ...]]:
    """Return calibration inputs in small batches, to be split for ranges, layer selection and validation."""
    if num_arguments > 1:
        raise DataError(
            f"export: got a network of {num_arguments} inputs and batches of one, expected a network of one input; "
            "wrap it in a module that makes the others"
        )
    whole = [part for batch in Batches(data, "calibration").inputs() for part in batch.cpu().split(4)]
    return [(part,) for part in whole[:_CALIBRATION_BATCHES]]
