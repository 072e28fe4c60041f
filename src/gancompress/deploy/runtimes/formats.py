"""Formats and modes of a runtime, the Python that uses its files, and the arguments of their conversion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from gancompress.deploy.axes import Axes, Inputs
from gancompress.deploy.compute_types import FP32, ComputeType
from gancompress.deploy.precision import IntegerForm


@dataclass(frozen=True)
class Format:
    """Kind of file that a runtime opens.

    Attributes:
        name: Its name in recipes and on the command line, such as ``onnx``.
        file_name: The default name of a file, such as ``model.onnx``. Its ending determines the runtime of a file.
        title: Its name in messages; the runtime's title by default.
        rewrites: Rewrites done by default: those that were measured to make networks faster in this format (see the
            tables in docs/reference/formats.md), or that its converter needs.
        compute_types: Numbers that a file can compute in.
        free_sizes: Whether a file runs on any batch and size, or only on those of the example.
        integers: Form in which the runtime computes networks of 8-bit integers fastest; required for compute types of
            integers.
        stores_trained_integers: Whether it stores the integers of quantization-aware training without calibration.
        beside: Ending of a second file that holds the weights, such as ``.bin``.
        folder: Whether the exported "file" is a folder.
        strict_ending: Whether the runtime opens only files with this ending.
        page: Whether it is a web page for networks, not a file of one network.
        opsets: Whether a file can be written for an opset of ONNX that the user names.
    """

    name: str
    file_name: str
    title: str = ""
    rewrites: tuple[str, ...] = ()
    compute_types: tuple[ComputeType, ...] = (FP32,)
    free_sizes: bool = True
    integers: IntegerForm | None = None
    stores_trained_integers: bool = False
    beside: str | None = None
    folder: bool = False
    strict_ending: bool = False
    page: bool = False
    opsets: bool = False

    @property
    def ending(self) -> str:
        """Ending of its files, such as ``.onnx``."""
        return Path(self.file_name).suffix

    @property
    def precisions(self) -> tuple[str, ...]:
        """Names of its compute types."""
        return tuple(each.name for each in self.compute_types)

    def calibrates(self, precision: str | None) -> bool:
        """Return whether a file of this precision has integers whose ranges are calibrated on images."""
        return any(each.integers for each in self.compute_types if each.name == precision)


@dataclass(frozen=True)
class Mode:
    """Mode of running networks or files, with its name in ``gancompress bench --runtime`` and latency budgets.

    Attributes:
        name: Its name, such as ``openvino_bf16``.
        title: Its name in reports.
        precision: Precision of float layers.
        endings: Endings of the files that it runs.
        format: The format that networks are exported to; None if it runs networks themselves.
        layer_format: The format in which layers and networks of fixed size are timed for latency budgets; None if
            it does not support them.
        on_request: Whether it is timed only when it is named, because it takes up to minutes to start.
        max_batch: Largest batch; None for any.
        elsewhere: Whether something else computes than the threads of the process that asks: a GPU, or a browser. Its
            runs are timed by the wall clock alone.
    """

    name: str
    title: str
    precision: str = "fp32"
    endings: tuple[str, ...] = ()
    format: str | None = None
    layer_format: str | None = None
    on_request: bool = False
    max_batch: int | None = None
    elsewhere: bool = False


@dataclass(frozen=True)
class Usage:
    """Python that runs a file without this package.

    Attributes:
        imports: Import statements.
        opened: Statements that open the file.
        run: Statements that assign ``result``.
    """

    imports: str
    opened: str
    run: str


@dataclass(frozen=True)
class Conversion:
    """Arguments of `Runtime.convert` beside the network and the path.

    Attributes:
        format: The format.
        inputs: Example inputs.
        input_names: A name for each input.
        axes: Free axes of each input and their names; all empty if the format has no free sizes.
        output_names: Names of the outputs; by default the converter chooses them.
        metadata: Text to store in the file.
        precision: Precision to compute in, of those that the runtime applies itself.
        integers: Whether operators that only move values should move integers.
        reference: The network that the file is compared with.
        tolerance: The largest absolute difference allowed.
        opset: Opset of ONNX; the exporter's own by default.
    """

    format: Format
    inputs: Inputs
    input_names: Sequence[str]
    axes: Sequence[Axes]
    output_names: Sequence[str] | None
    metadata: Mapping[str, str]
    precision: str
    integers: bool
    reference: nn.Module
    tolerance: float
    opset: int | None = None
