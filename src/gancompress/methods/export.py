"""Export of any network to a file that runs without PyTorch; it is checked before it gets its final name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from gancompress.channels.skeleton import copy_module
from gancompress.deploy import (
    DEFAULT_MIN_PSNR_DB,
    ExportReport,
    Precision,
    export_generator,
    find_format,
    format_of,
)
from gancompress.errors import DataError
from gancompress.methods.data import Batches, Data, as_arguments
from gancompress.networks.file_form import FileForm
from gancompress.networks.generator import Generator
from gancompress.networks.given import NamedInputs, order
from gancompress.networks.given import arguments as in_order
from gancompress.networks.image_format import Images, give_boundary

_CALIBRATION_BATCHES = 64


def export(
    network: nn.Module,
    x: Any,
    path: str | Path,
    *,
    format: str | None = None,
    precision: str = "fp32",
    calibration: Data | None = None,
    min_psnr_db: float = DEFAULT_MIN_PSNR_DB,
    input_names: Sequence[str] | None = None,
    image_range: str | None = None,
    opset: int | None = None,
    metadata: Mapping[str, str] | None = None,
) -> ExportReport:
    """Export a network to one file, and check the file against the network.

    Args:
        network: Any module; unchanged after the call.
        x: An input, or a tuple of all arguments of the forward pass.
        path: The file to write; its suffix selects the format: ``.onnx``, ``.xml`` (OpenVINO), ``.pt2``, ``.mlpackage``
            or ``.tflite``.
        format: A name of `gancompress.deploy.known_formats`, if the suffix does not determine the format.
        precision: One that the format has (`gancompress runtimes` lists them); ``int8`` needs calibration images.
        calibration: Inputs like those in deployment: for ``int8`` at least 32, a quarter of which measures the
            difference between file and network.
        min_psnr_db: For ``int8``: layers stay float until the output has at least this PSNR to that of the network.
        input_names: Names of the inputs in the file.
        image_range: Range of the network's images [b, c, h, w], such as ``0..1``, or ``0..255 to 0..1`` if input and
            output differ, and that of ``x`` and ``calibration``. The file then takes and returns [-1, 1], and
            `gancompress.load` runs it on pictures. By default the file takes what the network takes.
        opset: Opset of an ONNX file, 11 or newer; the exporter's own by default.
        metadata: Text to store in the file.

    Returns:
        Report of the file and its difference from the network.

    Raises:
        ConfigError: There is no such format, ending or range.
        ExportError: The format has no such precision or no opsets, a package is missing, or the file disagrees with the
            network.
        DataError: ``int8`` got too few calibration images.
        BudgetError: No choice of float layers reaches ``min_psnr_db``.
    """
    path = Path(path)
    kind = format_of(path) if format is None else format
    arguments = tuple(each.cpu() if isinstance(each, Tensor) else each for each in as_arguments(x, network))
    if find_format(kind)[1].calibrates(precision) and calibration is None:
        raise DataError(
            f"export: got precision '{precision}' without calibration, expected inputs like those that the network "
            "will see; give calibration=batches"
        )
    images = [] if calibration is None else _in_parts(calibration, network, len(arguments))
    formats = None if image_range is None else Images.parse(image_range)
    if formats is not None:
        arguments, images = _standard(arguments, formats), [_standard(each, formats) for each in images]
    names = None if input_names is None else tuple(input_names)
    if names is None and isinstance(x, Mapping):
        names = order(network, NamedInputs(x))
    module = copy_module(network).cpu().eval()
    generator = Generator.from_module(module, images=formats)
    form = FileForm(give_boundary(module, formats), arguments, names, facts=metadata or {})
    how = Precision(precision, images, min_psnr_db)
    return export_generator(generator, form, path, kind, precision=how, opset=opset)


def _standard(arguments: tuple[Any, ...], formats: Images) -> tuple[Any, ...]:
    """Return arguments with images in [-1, 1], as the file takes them; vectors and integers are no images."""
    return tuple(
        formats.input.to_standard(each)
        if isinstance(each, Tensor) and each.is_floating_point() and each.dim() == 4
        else each
        for each in arguments
    )


def _in_parts(data: Data, network: nn.Module, num_arguments: int) -> list[tuple[Tensor, ...]]:
    """Return calibration inputs in small batches, to be split for ranges, layer selection and validation."""
    batches = Batches(data, "calibration")
    if num_arguments > 1 and isinstance(batches.first["input"], Tensor):
        raise DataError(
            f"export: got a network of {num_arguments} inputs and batches of one, expected batches of dicts with the "
            "inputs by the names of the forward pass's arguments"
        )
    parts = (batch[first : first + 4] for batch in batches.inputs() for first in range(0, len(batch), 4))
    return [in_order(network, part.to("cpu")) for part in islice(parts, _CALIBRATION_BATCHES)]
