"""Runtime ExecuTorch with XNNPACK on the CPU, and its files (``.pte``)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from gancompress.deploy.rewrites import FOLDED
from gancompress.deploy.runtimes.formats import Conversion, Format, Mode, Usage
from gancompress.deploy.runtimes.packages import in_a_line, optional, quiet
from gancompress.deploy.runtimes.registry import register_runtime
from gancompress.deploy.runtimes.runner import Input, Runner
from gancompress.deploy.runtimes.runtime import Runtime
from gancompress.deploy.runtimes.zipped_metadata import append_metadata, appended_metadata
from gancompress.errors import ExportError

_INPUTS_KEY = "executorch"
"""Key of the names, shapes and types of the inputs in the metadata, which a program does not name."""


@register_runtime
class ExecuTorch(Runtime):
    """ExecuTorch, whose programs run what XNNPACK takes on XNNPACK and all else on its portable kernels.

    The metadata lie in a zip archive behind the program, where ExecuTorch reads no further.
    """

    name = "executorch"
    title = "ExecuTorch"
    runs_on = "ExecuTorch with XNNPACK, on Android, iOS and elsewhere"
    package = "executorch"
    extra = "executorch"
    formats = (Format(name="executorch", file_name="model.pte", rewrites=FOLDED, free_sizes=False),)
    modes = (Mode("executorch", "ExecuTorch", endings=(".pte",), format="executorch", on_request=True, max_batch=1),)

    def convert(self, network: nn.Module, path: Path, how: Conversion) -> None:
        """Write a program."""
        exir = optional("executorch.exir", "executorch", "ExecuTorch export")
        xnnpack = optional(
            "executorch.backends.xnnpack.partition.xnnpack_partitioner", "executorch", "ExecuTorch export"
        )
        program = torch.export.export(network, how.inputs)
        lowered = exir.to_edge_transform_and_lower(program, partitioner=[xnnpack.XnnpackPartitioner()])
        path.write_bytes(lowered.to_executorch().buffer)
        inputs = [
            (name, tuple(tensor.shape), str(tensor.dtype).removeprefix("torch."))
            for name, tensor in zip(how.input_names, how.inputs, strict=True)
        ]
        append_metadata(path, {**how.metadata, _INPUTS_KEY: inputs})

    def open(self, path: Path, threads: int | None = None, precision: str | None = None) -> Runner:
        """Open a program. Its number of threads is ExecuTorch's own.

        Raises:
            ExportError: ExecuTorch is missing, or refuses the file; or the file is not one that gancompress wrote.
        """
        runtime = optional("executorch.runtime", "executorch", f"{path}: running it")
        metadata = appended_metadata(path) if path.is_file() else {}
        known = metadata.pop(_INPUTS_KEY, None)
        try:
            with quiet():
                program = runtime.Runtime.get().load_program(path)
                method = program.load_method("forward")
        except Exception as error:
            raise ExportError(f"{path}: ExecuTorch cannot run the file: {in_a_line(error)}") from error
        if known is None:
            raise ExportError(f"{path}: got a program without names of its inputs, expected one that export wrote")
        inputs = tuple(Input(name, tuple(shape), getattr(torch, dtype)) for name, shape, dtype in known)

        def run(values: tuple[Tensor, ...]) -> list[Tensor]:
            results = method.execute([tensor.contiguous() for tensor in values])
            # The results lie in memory that the next run overwrites.
            return [each.detach().clone() for each in tree_leaves(results) if isinstance(each, Tensor)]

        return Runner(run, metadata, inputs)

    def usage(self, file: str, inputs: Mapping[str, str], precision: str, threads: int | None = None) -> Usage:
        """Return Python that runs a program with ExecuTorch."""
        tensors = ", ".join(f"torch.from_numpy({variable})" for variable in inputs.values())
        return Usage(
            "import numpy\nimport torch\nfrom executorch.runtime import Runtime\n\n",
            f'network = Runtime.get().load_program("{file}").load_method("forward")\n',
            f"result = network.execute([{tensors}])[0]\n",
        )
