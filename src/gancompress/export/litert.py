"""A network as a LiteRT file (``.tflite``), compared with eager."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from gancompress.cost.measured import evaluation_mode
from gancompress.errors import ExportError
from gancompress.export.axes import Inputs, names_and_axes, output_names
from gancompress.export.decomposed import SLICED_NEAREST
from gancompress.export.files import draft_of
from gancompress.export.parity import DEFAULT_TOLERANCE, ExportReport, compare
from gancompress.export.runtimes import litert_runtime
from gancompress.export.runtimes.lacking import refusal
from gancompress.export.runtimes.packages import optional, quiet


class _Named(nn.Module):
    """A network whose inputs and outputs have the names that they shall have in the file."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, **inputs: Tensor) -> dict[str, Tensor]:
        """From inputs in their order to the outputs."""
        outputs = [each for each in tree_leaves(self.network(*inputs.values())) if isinstance(each, Tensor)]
        return dict(zip(output_names(len(outputs)), outputs, strict=True))


def export_litert(
    module: nn.Module,
    example_inputs: Inputs,
    path: Path,
    *,
    input_names: Sequence[str] | None = None,
    metadata: Mapping[str, str] | None = None,
    tolerance: float = DEFAULT_TOLERANCE,
    reference: nn.Module | None = None,
) -> ExportReport:
    """Write the module as a LiteRT file of the example's batch and size, once LiteRT on the CPU agrees with eager.

    Args:
        module: Exported in evaluation mode; left as it was found.
        example_inputs: As for `export_onnx`.
        path: The file to write.
        input_names: As for `export_onnx`. The outputs are called "output", or "output_0", "output_1", ...
        metadata: Stored at the end of the file, in a zip archive, as ``gancompress.json``.
        tolerance: As for `export_onnx`.
        reference: As for `export_onnx`.

    Raises:
        ExportError: A package is missing, litert-torch refuses the module, the file disagrees, or it cannot be written.
    """
    litert_torch = optional("litert_torch", "litert", "LiteRT export")
    optional("ai_edge_litert.interpreter", "litert", "LiteRT export")
    reference = reference or module
    what = f"LiteRT export of {type(reference).__name__}"
    names, _ = names_and_axes(example_inputs, input_names, None)
    given = dict(zip(names, example_inputs, strict=True))
    with evaluation_mode(module), evaluation_mode(reference), torch.no_grad(), draft_of(path, what) as draft:
        try:
            with quiet():
                program = torch.export.export(_Named(module), (), given).run_decompositions(SLICED_NEAREST)
                litert_torch.convert(program.module(), sample_kwargs=given).export(str(draft))
        except OSError:
            raise  # the disk's fault, which `draft_of` tells
        except Exception as error:
            raise ExportError(f"{what} failed: {refusal(error)}") from error
        with zipfile.ZipFile(draft, "a") as archive:
            archive.writestr(litert_runtime.METADATA_FILE, json.dumps(dict(metadata or {})))
        case = compare(reference, litert_runtime.open_file(draft).run, example_inputs, tolerance, what)
    return ExportReport(path=path, file_bytes=path.stat().st_size, cases=(case,))
