"""Runtime OpenVINO on the CPU, and its IR: a description (``.xml``) with weights (``.bin``). It reads ONNX, too."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from gancompress.deploy.compute_types import BF16, FP32, INT8
from gancompress.deploy.file_options import FileOptions
from gancompress.deploy.precision import IntegerForm
from gancompress.deploy.rewrites import FASTER
from gancompress.deploy.runtimes.formats import Conversion, Format, Mode, Usage
from gancompress.deploy.runtimes.onnx_runtime import OnnxRuntime
from gancompress.deploy.runtimes.packages import optional
from gancompress.deploy.runtimes.registry import register_runtime
from gancompress.deploy.runtimes.runner import Input, Runner
from gancompress.deploy.runtimes.runtime import Runtime
from gancompress.errors import ExportError

METADATA = ["gancompress", "metadata"]
"""Path of the metadata in the file's runtime information: one JSON object."""

_HINTS = {"bf16": "bf16"}
_READS = (".xml", ".onnx")


def _slow_in_integers(network: nn.Module) -> tuple[str, ...]:
    """Return the paths of transposed convolutions of one axis, which have no kernel of integers.

    In integers a vocoder's took 8.1 ms instead of 1.3 (2026.4): `jit_gemm_f32` in both cases.
    """
    return tuple(path for path, layer in network.named_modules() if isinstance(layer, nn.ConvTranspose1d))


@register_runtime
class OpenVino(Runtime):
    """OpenVINO."""

    name = "openvino"
    title = "OpenVINO"
    package = "openvino"
    writers = (*OnnxRuntime.writers, OnnxRuntime.package)  # IR is converted from ONNX
    extra = "openvino"
    lacks = (
        r"does not support the following ONNX operations: (?:[\w.]+\.)?(?P<operator>\w+)",
        r"No conversion rule found for operations: (?:[\w.]+\.)?(?P<operator>\w+)",
    )
    formats = (
        Format(
            name="openvino",
            file_name="model.xml",
            rewrites=FASTER,
            strict_ending=True,
            compute_types=(FP32, BF16, INT8),
            integers=IntegerForm(
                FASTER,
                outputs=False,
                moves=True,
                slow=_slow_in_integers,
                centred=(nn.ConvTranspose2d,),
                # Scales of a layer without bias move through a norm that follows, whose epsilon is not scaled with
                # them (2026.4): with an epsilon of 0.1 an image is 0.13 off in the mean instead of 0.002.
                biased=True,
            ),
            beside=".bin",
        ),
    )
    modes = (
        Mode("openvino", "OpenVINO", endings=_READS, format="openvino", layer_format="onnx_fixed"),
        Mode("openvino_bf16", "OpenVINO", "bf16", _READS, format="openvino", layer_format="onnx_fixed"),
    )

    def convert(self, network: nn.Module, path: Path, how: Conversion) -> None:
        """Write IR by way of ONNX."""
        openvino = optional("openvino", "openvino", "OpenVINO export")
        with TemporaryDirectory() as folder:
            options = FileOptions(
                dynamic=how.axes,
                input_names=how.input_names,
                output_names=how.output_names,
                other_inputs=[],
                tolerance=how.tolerance,
                reference=how.reference,
                integers=how.integers,
            )
            path_of_onnx = Path(folder, "model.onnx")
            onnx = OnnxRuntime().write(lambda: network, how.inputs, path_of_onnx, OnnxRuntime.formats[0], options)
            model = openvino.convert_model(onnx.path)
            model.set_rt_info(json.dumps(dict(how.metadata)), METADATA)
            openvino.save_model(model, path, compress_to_fp16=False)

    def open(self, path: Path, threads: int | None = None, precision: str | None = None) -> Runner:
        """Open IR or an ONNX file.

        Args:
            path: ``.xml`` or ``.onnx``.
            threads: Number of threads; OpenVINO's own choice by default.
            precision: Precision of float layers: bf16, or float32 for every other name; by default that of the
                export. bf16 needs processor instructions; without them it gains nothing.

        Raises:
            ExportError: OpenVINO is missing, or refuses the file.
        """
        openvino = optional("openvino", "openvino", f"{path}: running it")
        options: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY"}
        if threads is not None:
            options["INFERENCE_NUM_THREADS"] = threads
        try:
            core = _core(openvino)
            model = core.read_model(path)
            metadata = json.loads(model.get_rt_info(METADATA).astype(str)) if model.has_rt_info(METADATA) else {}
            options["INFERENCE_PRECISION_HINT"] = _HINTS.get(precision or metadata.get("precision", ""), "f32")
            compiled = core.compile_model(model, "CPU", options)
        except Exception as error:
            raise ExportError(f"{path}: OpenVINO cannot run the file: {self.refusal(error)}") from error
        request, num_outputs = compiled.create_infer_request(), len(compiled.outputs)
        inputs = tuple(
            Input(
                each.get_any_name(),
                tuple(size.get_length() if size.is_static else None for size in each.partial_shape),
                torch.from_numpy(np.empty(0, each.element_type.to_dtype())).dtype,
            )
            for each in model.inputs
        )

        def run(values: tuple[Tensor, ...]) -> list[Tensor]:
            # The results lie in memory that the next run overwrites; one copy takes less time than OpenVINO's own.
            request.infer([tensor.detach().cpu().numpy() for tensor in values], share_inputs=True, share_outputs=True)
            return [torch.from_numpy(request.get_output_tensor(number).data.copy()) for number in range(num_outputs)]

        return Runner(run, metadata, inputs)

    def usage(self, file: str, inputs: Mapping[str, str], precision: str, threads: int | None = None) -> Usage:
        """Return Python that runs a file with OpenVINO."""
        config: dict[str, str | int] = {}
        if precision == "bf16":
            config["INFERENCE_PRECISION_HINT"] = "bf16"
        if threads is not None:
            config["INFERENCE_NUM_THREADS"] = threads
        given = f", {json.dumps(config)}" if config else ""
        return Usage(
            "import numpy\nimport openvino\n\n",
            f'network = openvino.compile_model("{file}", "CPU"{given})\n',
            f"result = network([{', '.join(inputs.values())}])[0]\n",
        )


@cache
def _core(openvino: Any) -> Any:
    """Return the OpenVINO core, one for the whole process.

    Its CPU plugin installs an alternate signal stack in the thread, and restores the previous one when it is destroyed.
    If two are destroyed in the order of their creation, the second restores memory that the first has freed; the next
    signal, such as the end of a child process, then kills the process without a message (OpenVINO 2026.4).
    """
    return openvino.Core()
