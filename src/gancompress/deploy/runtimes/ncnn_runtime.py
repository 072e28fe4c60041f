"""Runtime ncnn on the CPU, and its files: a description (``.param``) with weights (``.bin``)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from gancompress.deploy.axes import Inputs, output_names
from gancompress.deploy.compute_types import FP16, FP32
from gancompress.deploy.rewrites import FOLDED
from gancompress.deploy.runtimes.formats import Conversion, Format, Mode, Usage
from gancompress.deploy.runtimes.ncnn_converter import convert
from gancompress.deploy.runtimes.packages import optional
from gancompress.deploy.runtimes.registry import register_runtime
from gancompress.deploy.runtimes.runner import Input, Runner
from gancompress.deploy.runtimes.runtime import Runtime
from gancompress.deploy.runtimes.zipped_metadata import append_metadata, appended_metadata
from gancompress.errors import ExportError

"""Metadata, one JSON object, in a zip archive behind the weights, where ncnn reads no further."""

_FORMAT_KEY = "ncnn"
_IMAGE_NAMES = ("data", "output")
"""Names of the image that goes in and of the one that comes out, by which programs for upscalers ask."""

_SHAPES = ("pnnx.Expression", "Tensor.size", "Tensor.view", "Tensor.reshape")
"""Operators that the converter leaves of shapes that are computed from a free size."""


@register_runtime
class Ncnn(Runtime):
    """ncnn.

    A file takes one image at once; a batch is run image by image. The file of a network of images in [-1, 1] takes and
    returns images in [0, 1], under the names ``data`` and ``output``, as the programs do that run upscalers with ncnn;
    `open` converts the range.
    """

    name = "ncnn"
    title = "ncnn"
    runs_on = "ncnn, on phones and desktops"
    package = "ncnn"
    writers = ("pnnx",)
    extra = "ncnn"
    refuses_plainly = True
    lacks = (r"ncnn has no operator (?P<operator>\S+)",)
    formats = (
        Format(
            name="ncnn",
            file_name="model.ncnn.param",
            rewrites=FOLDED,
            compute_types=(FP32, replace(FP16.native(), rewrites=())),
            beside=".bin",
            strict_ending=True,
        ),
    )
    modes = (
        Mode("ncnn", "ncnn", endings=(".param",), format="ncnn", layer_format="ncnn", on_request=True),
        Mode("ncnn_fp16", "ncnn", "fp16", (".param",), format="ncnn", on_request=True),
    )

    def convert(self, network: nn.Module, path: Path, how: Conversion) -> None:
        """Write a file. In ``fp16`` weights are stored in half precision, and maps are, where the processor has it."""
        pnnx = optional("pnnx", "ncnn", "ncnn export")
        num_outputs = len(how.output_names or ()) or len(_tensors(network(*how.inputs)))
        unit_range = _takes_images(how, num_outputs)
        inputs, outputs = list(how.input_names), list(how.output_names or output_names(num_outputs))
        network = _Positional(network)
        if unit_range:
            network, inputs, outputs = _UnitRange(network), [_IMAGE_NAMES[0]], [_IMAGE_NAMES[1]]
        with TemporaryDirectory() as folder:
            param, weights = convert(pnnx.EXEC_PATH, network, how, Path(folder))
            text = _renamed(param.read_text(), inputs, outputs)
            _check_operators(text)
            path.write_text(text)
            path.with_suffix(".bin").write_bytes(weights.read_bytes())
        own = _Own(
            tuple(
                (name, _free_shape(tensor, axes), str(tensor.dtype).removeprefix("torch."))
                for name, tensor, axes in zip(inputs, how.inputs, how.axes, strict=True)
            ),
            unit_range,
        )
        append_metadata(path.with_suffix(".bin"), {**how.metadata, _FORMAT_KEY: own.to_json()})

    def open(self, path: Path, threads: int | None = None, precision: str | None = None) -> Runner:
        """Open a file, with its weights beside it. A file of another program takes one image in the file's own range.

        Raises:
            ExportError: ncnn is missing, or refuses the file.
        """
        ncnn = optional("ncnn", "ncnn", f"{path}: running it")
        weights = path.with_suffix(".bin")
        metadata = appended_metadata(weights)
        own = _Own.from_json(metadata.pop(_FORMAT_KEY, None))
        net = ncnn.Net()
        half = (precision or metadata.get("precision")) == FP16.name
        net.opt.use_fp16_packed = net.opt.use_fp16_storage = half
        net.opt.use_fp16_arithmetic = net.opt.use_bf16_storage = False
        # Its threads spin while they wait: with more than the process may use a run takes a hundred times as long.
        net.opt.num_threads = torch.get_num_threads() if threads is None else threads
        if not weights.is_file() or net.load_param(str(path)) or net.load_model(str(weights)):
            raise ExportError(
                f"{path}: ncnn cannot run the file: expected the description of a network of operators that this "
                f"version has, with its weights in {weights.name}"
            )
        names = own.inputs or tuple((name, (None,) * 4, "float32") for name in net.input_names())
        inputs = tuple(Input(name, shape, getattr(torch, dtype)) for name, shape, dtype in names)

        def run(values: Inputs) -> list[Tensor]:
            if own.unit_range:
                values = (values[0] * 0.5 + 0.5,)
            each = [_run_one(ncnn, net, [tensor[i] for tensor in values]) for i in range(len(values[0]))]
            results = [torch.from_numpy(np.stack(arrays)) for arrays in zip(*each, strict=True)]
            return [result * 2 - 1 for result in results] if own.unit_range else results

        return Runner(run, metadata, inputs)

    def usage(self, file: str, inputs: Mapping[str, str], precision: str, threads: int | None = None) -> Usage:
        """Return Python that runs a file with ncnn."""
        limit = "" if threads is None else f"network.opt.num_threads = {threads}\n"
        image = list(inputs) == [_IMAGE_NAMES[0]]
        to_unit, from_unit = (" / 2 + 0.5", " * 2 - 1") if image else ("", "")
        given = "".join(
            f'extractor.input("{name}", ncnn.Mat({variable}[0]{to_unit}).clone())\n'
            for name, variable in inputs.items()
        )
        return Usage(
            "import ncnn\nimport numpy\n\n",
            f'network = ncnn.Net()\n{limit}network.load_param("{file}")\n'
            f'network.load_model("{Path(file).with_suffix(".bin")}")\n'
            "extractor = network.create_extractor()\n",
            f"{given}result = numpy.array(extractor.extract(network.output_names()[0])[1])[None]{from_unit}\n",
        )


@dataclass(frozen=True)
class _Own:
    """Facts about a file that its description does not state.

    Attributes:
        inputs: Name, shape (None for free sizes) and type of each input; empty if unknown.
        unit_range: Whether the file takes and returns images in [0, 1] instead of [-1, 1].
    """

    inputs: tuple[tuple[str, tuple[int | None, ...], str], ...] = ()
    unit_range: bool = False

    def to_json(self) -> dict[str, Any]:
        return {"inputs": self.inputs, "unit_range": self.unit_range}

    @classmethod
    def from_json(cls, facts: Mapping[str, Any] | None) -> Self:
        if facts is None:
            return cls()
        return cls(tuple((name, tuple(shape), dtype) for name, shape, dtype in facts["inputs"]), facts["unit_range"])


class _Positional(nn.Module):
    """Network whose outputs are a tuple of tensors, the only kind that TorchScript traces without doubt."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        return tuple(_tensors(self.network(*inputs)))


class _UnitRange(nn.Module):
    """Network of images in [-1, 1] as one of images in [0, 1]."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        (result,) = self.network(images * 2 - 1)
        return result * 0.5 + 0.5


def _takes_images(how: Conversion, num_outputs: int) -> bool:
    image = how.metadata.get("layout") == '"NCHW"' and how.metadata.get("range") == "[-1, 1]"
    return image and len(how.inputs) == num_outputs == 1


def _renamed(text: str, inputs: Sequence[str], outputs: Sequence[str]) -> str:
    """Give the inputs and outputs of a description, ``in0`` and ``out0`` and so on, their names."""
    names = {f"in{i}": name for i, name in enumerate(inputs)} | {f"out{i}": name for i, name in enumerate(outputs)}
    return re.sub(r"(?<=\s)(?:in|out)\d+(?=\s)", lambda found: names.get(found[0], found[0]), text)


def _check_operators(text: str) -> None:
    """Raise if a description has operators of PyTorch that the converter left as they are: their names have dots."""
    kinds = [line.split()[0] for line in text.splitlines()[2:] if line.strip()]
    left = [kind for kind in kinds if "." in kind or "::" in kind]
    others = [kind for kind in left if kind not in _SHAPES]
    if left and not others:
        raise ValueError(
            "it computes shapes from the size of its input, which ncnn cannot; write the pixels' rearrangement as "
            "nn.PixelShuffle and nn.PixelUnshuffle, and other shapes as constants"
        )
    if others:
        raise ValueError(f"ncnn has no operator {others[0]}")


def _run_one(ncnn: Any, net: Any, values: Sequence[Tensor]) -> list[np.ndarray]:
    """Run one image, or whatever the inputs are without their batch axis."""
    extractor = net.create_extractor()
    for name, value in zip(net.input_names(), values, strict=True):
        array = np.ascontiguousarray(value.detach().cpu().numpy())  # a matrix keeps no reference to its numbers
        extractor.input(name, ncnn.Mat(array).clone())
    results = []
    for name in net.output_names():
        status, result = extractor.extract(name)
        if status:
            raise ExportError(f"ncnn: got status {status} for the output {name}, expected 0; take another size")
        results.append(np.array(result))
    return results


def _free_shape(tensor: Tensor, axes: Mapping[int, str]) -> tuple[int | None, ...]:
    return tuple(None if axis in axes else size for axis, size in enumerate(tensor.shape))


def _tensors(outputs: Any) -> list[Tensor]:
    return [each for each in tree_leaves(outputs) if isinstance(each, Tensor)]
