"""The formats of exported files, by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from torch import nn

from gancompress.export.axes import Inputs
from gancompress.export.onnx import export_onnx
from gancompress.export.openvino import export_openvino
from gancompress.export.parity import ExportReport
from gancompress.export.program import export_program

FormatName = Literal["onnx", "onnx_fixed", "openvino", "torch"]


@dataclass(frozen=True)
class Format:
    """A kind of file.

    Attributes:
        file_name: What a file of it is called by default.
        write: Writes and compares it: module, example inputs, path, then ``metadata`` and ``reference``.
        rewrites: Those that were measured to make a network faster in it (see the table in docs/deploy.md).
    """

    file_name: str
    write: Callable[..., ExportReport]
    rewrites: tuple[str, ...]


def _fixed(module: nn.Module, example_inputs: Inputs, path: Path, **options: Any) -> ExportReport:
    return export_onnx(module, example_inputs, path, **{**options, "dynamic": [{} for _ in example_inputs]})


_FOLDED = ("folded_spectral_norms", "folded_batch_norms")
_FASTER = (*_FOLDED, "even_transposed_convolutions", "strided_last_convolution")

FORMATS: dict[str, Format] = {
    "onnx": Format("model.onnx", export_onnx, _FASTER),
    "onnx_fixed": Format("model.fixed.onnx", _fixed, _FASTER),
    "openvino": Format("model.xml", export_openvino, _FASTER),
    "torch": Format("model.pt2", export_program, _FASTER),
}
"""ONNX of any batch and size, ONNX of one, OpenVINO IR and a torch.export program."""

assert set(FORMATS) == set(get_args(FormatName))
