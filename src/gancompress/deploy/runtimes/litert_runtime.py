"""Runtime LiteRT on the CPU, and its files (``.tflite``)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from gancompress.deploy.axes import output_names
from gancompress.deploy.rewrites import FOLDED
from gancompress.deploy.runtimes.decomposed import SLICED_NEAREST
from gancompress.deploy.runtimes.formats import Conversion, Format, Mode, Usage
from gancompress.deploy.runtimes.packages import in_a_line, optional, quiet
from gancompress.deploy.runtimes.registry import register_runtime
from gancompress.deploy.runtimes.runner import Input, Runner
from gancompress.deploy.runtimes.runtime import Runtime
from gancompress.deploy.runtimes.zipped_metadata import append_metadata, appended_metadata
from gancompress.errors import ExportError

"""Metadata, one JSON object, in the zip archive at the end of the file, which runtimes ignore.

Source: https://ai.google.dev/edge/litert/models/metadata (associated files)
"""

_PREFIX = "serving_default_"


@register_runtime
class LiteRt(Runtime):
    """LiteRT, formerly TensorFlow Lite."""

    name = "litert"
    title = "LiteRT"
    runs_on = "LiteRT, formerly TensorFlow Lite, on Android and elsewhere"
    package = "ai_edge_litert"
    writers = ("litert_torch",)
    extra = "litert"
    lacks = (r"failed to legalize operation '\w+\.(?P<operator>\w+)'",)
    renamed: ClassVar[Mapping[str, str]] = {"convolution": "ConvTranspose"}  # it takes all convolutions but those
    formats = (
        Format(
            name="litert",
            file_name="model.tflite",
            rewrites=(
                *FOLDED,
                "even_transposed_convolutions",
                "odd_transposed_convolutions",
                "strided_last_convolution",
            ),
            free_sizes=False,
        ),
    )
    modes = (
        Mode(
            "litert",
            "LiteRT",
            endings=(".tflite",),
            format="litert",
            layer_format="litert",
            on_request=True,
            max_batch=1,
        ),
    )

    def convert(self, network: nn.Module, path: Path, how: Conversion) -> None:
        """Write a LiteRT file whose inputs and outputs have the names of the contract."""
        litert_torch = optional("litert_torch", "litert", "LiteRT export")
        given = dict(zip(how.input_names, how.inputs, strict=True))
        program = torch.export.export(_Named(network), (), given).run_decompositions(SLICED_NEAREST)
        litert_torch.convert(program.module(), sample_kwargs=given).export(str(path))
        append_metadata(path, how.metadata)

    def open(self, path: Path, threads: int | None = None, precision: str | None = None) -> Runner:
        """Open a LiteRT file.

        Raises:
            ExportError: LiteRT is missing, or refuses the file.
        """
        litert = optional("ai_edge_litert.interpreter", "litert", f"{path}: running it")
        try:
            with quiet():
                interpreter = litert.Interpreter(str(path), num_threads=threads)
                call = interpreter.get_signature_runner()
        except Exception as error:
            raise ExportError(f"{path}: LiteRT cannot run the file: {in_a_line(error)}") from error
        inputs = tuple(
            Input(
                each["name"].removeprefix(_PREFIX).partition(":")[0],
                tuple(int(size) for size in each["shape"]),
                torch.from_numpy(np.empty(0, each["dtype"])).dtype,
            )
            for each in interpreter.get_input_details()
        )

        def run(values: tuple[Tensor, ...]) -> list[Tensor]:
            given = {known.name: tensor.numpy() for known, tensor in zip(inputs, values, strict=True)}
            results = call(**given)
            return [torch.from_numpy(results[name]) for name in sorted(results, key=lambda name: (len(name), name))]

        return Runner(run, appended_metadata(path), inputs)

    def usage(self, file: str, inputs: Mapping[str, str], precision: str, threads: int | None = None) -> Usage:
        """Return Python that runs a file with LiteRT."""
        named = ", ".join(f'"{name}": {variable}' for name, variable in inputs.items())
        given = "" if threads is None else f", num_threads={threads}"
        return Usage(
            "import numpy\nfrom ai_edge_litert.interpreter import Interpreter\n\n",
            f'network = Interpreter("{file}"{given}).get_signature_runner()\n',
            f"(result,) = network(**{{{named}}}).values()\n",
        )


class _Named(nn.Module):
    """Network with the input and output names of its file."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, **inputs: Tensor) -> dict[str, Tensor]:
        """Map inputs in their order to outputs by name."""
        outputs = [each for each in tree_leaves(self.network(*inputs.values())) if isinstance(each, Tensor)]
        return dict(zip(output_names(len(outputs)), outputs, strict=True))
