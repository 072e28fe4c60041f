"""The formats of exported files, by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, get_args

from torch import nn

from gancompress.export.axes import Axes, Inputs
from gancompress.export.coreml import export_coreml
from gancompress.export.litert import export_litert
from gancompress.export.onnx import export_onnx
from gancompress.export.openvino import export_openvino
from gancompress.export.parity import ExportReport, PrecisionName
from gancompress.export.precision import IntegerForm
from gancompress.export.program import export_program
from gancompress.export.rewrites.aligned import slow_in_integers

FormatName = Literal["onnx", "onnx_fixed", "openvino", "torch", "coreml", "litert"]


@dataclass(frozen=True)
class Format:
    """A kind of file.

    Attributes:
        file_name: What a file of it is called by default.
        write: Writes and compares it: module, example inputs, path, then ``metadata`` and ``reference``.
        rewrites: Those that were measured to make a network faster in it (see the tables in docs/deploy.md), or without
            which its converter refuses one.
        integers: How its runtime likes a network of 8-bit integers; None where it has no kernels for one.
        precisions: What a file of it can compute in.
        free: Whether a file of it runs on any batch and size, or on those of the example alone.
        halves: Whether ``write`` makes the network of half precision itself.
        packages: What must be installed to write and compare it, beside this package's own requirements.
        extra: The extra of this package that installs them.
    """

    file_name: str
    write: Callable[..., ExportReport]
    rewrites: tuple[str, ...]
    integers: IntegerForm | None = None
    precisions: tuple[PrecisionName, ...] = ("fp32",)
    free: bool = True
    halves: bool = False
    packages: tuple[str, ...] = ()
    extra: str = ""


def _fixed(module: nn.Module, example_inputs: Inputs, path: Path, **options: Any) -> ExportReport:
    return export_onnx(module, example_inputs, path, **{**options, "dynamic": [{} for _ in example_inputs]})


def _of_one_size(write: Callable[..., ExportReport]) -> Callable[..., ExportReport]:
    """A writer that knows no free sizes, called as those are that do."""

    def write_fixed(*args: Any, dynamic: Sequence[Axes] | None = None, **options: Any) -> ExportReport:
        return write(*args, **options)

    return write_fixed


_FOLDED = ("folded_spectral_norms", "folded_batch_norms")
_FASTER = (*_FOLDED, "even_transposed_convolutions", "strided_last_convolution")
_FOR_LITERT = (
    *_FOLDED,
    "even_transposed_convolutions",
    "odd_transposed_convolutions",
    "strided_last_convolution",
)

_FOR_ONNX_RUNTIME = IntegerForm(
    (*_FASTER, "odd_transposed_convolutions", "row_shuffles", "aligned_channels"),
    outputs=True,
    moves=True,
    slow=slow_in_integers,
)
_FOR_OPENVINO = IntegerForm(_FASTER, outputs=False, moves=True, centred=(nn.ConvTranspose1d, nn.ConvTranspose2d))

_ONNX = ("onnx", "onnxscript", "onnxruntime")

FORMATS: dict[str, Format] = {
    "onnx": Format(
        file_name="model.onnx",
        write=export_onnx,
        rewrites=_FASTER,
        integers=_FOR_ONNX_RUNTIME,
        precisions=("fp32", "fp16", "int8"),
        packages=_ONNX,
        extra="onnx",
    ),
    "onnx_fixed": Format(
        file_name="model.fixed.onnx",
        write=_fixed,
        rewrites=_FASTER,
        integers=_FOR_ONNX_RUNTIME,
        precisions=("fp32", "fp16", "int8"),
        free=False,
        packages=_ONNX,
        extra="onnx",
    ),
    "openvino": Format(
        file_name="model.xml",
        write=export_openvino,
        rewrites=_FASTER,
        integers=_FOR_OPENVINO,
        precisions=("fp32", "bf16", "int8"),
        packages=(*_ONNX, "openvino"),
        extra="openvino",
    ),
    "torch": Format("model.pt2", export_program, _FASTER),
    "coreml": Format(
        file_name="model.mlpackage",
        write=_of_one_size(export_coreml),
        rewrites=_FOLDED,
        precisions=("fp32", "fp16"),
        free=False,
        halves=True,
        packages=("coremltools",),
        extra="coreml",
    ),
    "litert": Format(
        file_name="model.tflite",
        write=_of_one_size(export_litert),
        rewrites=_FOR_LITERT,
        free=False,
        packages=("litert_torch", "ai_edge_litert"),
        extra="litert",
    ),
}
"""ONNX of any batch and size, ONNX of one, OpenVINO IR, a torch.export program, Core ML and LiteRT."""

assert set(FORMATS) == set(get_args(FormatName))


def missing_package(format: str) -> str | None:
    """Return the end of a message that names a format's missing packages; None if none is missing."""
    kind = FORMATS[format]
    missing = [package for package in kind.packages if find_spec(package) is None]
    return f"needs the package {missing[0]}: pip install 'gancompress[{kind.extra}]'" if missing else None


def file_name(format: str, precision: PrecisionName | Literal["fastest"] | None = None) -> str:
    """What a file is called by default: ``model.onnx``, ``model.int8.onnx``, ``model.fastest.onnx``."""
    name = Path(FORMATS[format].file_name)
    return str(name if precision in (None, "fp32") else name.with_suffix(f".{precision}{name.suffix}"))
