"""Many small modules as files, by one run of the exporter: starting it takes longer than what a layer takes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from gancompress.cost.measured import evaluation_mode
from gancompress.errors import ExportError
from gancompress.export.runtimes.packages import in_a_line, optional, quiet

_AT_ONCE = 40


class _SideBySide(nn.Module):
    def __init__(self, modules: Sequence[nn.Module]) -> None:
        super().__init__()
        self.each = nn.ModuleList(modules)

    def forward(self, *inputs: Tensor) -> list[Tensor]:
        """Each module on its own input."""
        return [module(given) for module, given in zip(self.each, inputs, strict=True)]


def export_many(
    modules: Sequence[nn.Module], inputs: Sequence[Tensor], folder: Path, format: Literal["onnx_fixed", "torch"]
) -> list[Path]:
    """Write modules as they are, at the size of their inputs, without comparing the files: they are for timing.

    Args:
        modules: Each from one tensor to one.
        inputs: Of each.
        folder: Where the files come, by number.
        format: ONNX, or programs of PyTorch.

    Raises:
        ExportError: A package is missing, or the exporter refuses a module.
    """
    write = _programs if format == "torch" else _onnx
    paths: list[Path] = []
    try:
        for start in range(0, len(modules), _AT_ONCE):
            end = start + _AT_ONCE
            paths += write(modules[start:end], inputs[start:end], folder, start)
    except OSError:
        raise  # the disk's fault
    except ExportError:
        raise
    except Exception as error:
        raise ExportError(f"{format} of {len(modules)} layers failed: {in_a_line(error)}") from error
    return paths


def _programs(modules: Sequence[nn.Module], inputs: Sequence[Tensor], folder: Path, start: int) -> list[Path]:
    paths = []
    for number, (module, given) in enumerate(zip(modules, inputs, strict=True), start):
        paths.append(folder / f"{number}.pt2")
        with evaluation_mode(module), torch.no_grad(), quiet():
            torch.export.save(torch.export.export(module, (given,)), paths[-1])
    return paths


def _onnx(modules: Sequence[nn.Module], inputs: Sequence[Tensor], folder: Path, start: int) -> list[Path]:
    onnx = optional("onnx", "onnx", "ONNX export")
    names = [(f"input_{number}", f"output_{number}") for number in range(len(modules))]
    together = _SideBySide(modules)
    with evaluation_mode(together), torch.no_grad(), quiet():
        program = torch.onnx.export(
            together,
            tuple(given.clone() for given in inputs),  # one tensor given twice would become one input
            dynamo=True,
            verbose=False,
            input_names=[given for given, _ in names],
            output_names=[result for _, result in names],
        )
    assert program is not None  # it is None only where the exporter itself writes the file
    extractor = onnx.utils.Extractor(program.model_proto)
    paths = []
    for number, (given, result) in enumerate(names, start):
        paths.append(folder / f"{number}.onnx")
        onnx.save(extractor.extract_model([given], [result]), paths[-1])
    return paths
