"""LiteRT files (``.tflite``), run by LiteRT on the CPU."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gancompress.errors import ExportError
from gancompress.export.runtimes.packages import in_a_line, optional, quiet
from gancompress.export.runtimes.runner import Input, Runner

METADATA_FILE = "gancompress.json"
"""The metadata, one JSON object, in the zip archive at the end of the file, which runtimes do not read.

Source: https://ai.google.dev/edge/litert/models/metadata (associated files)
"""

_PREFIX = "serving_default_"


def open_file(path: Path, threads: int | None = None) -> Runner:
    """A LiteRT file.

    Args:
        path: The file.
        threads: Threads to run on; LiteRT's own choice by default.

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

    return Runner(run, _metadata(path), inputs)


def _metadata(path: Path) -> dict[str, str]:
    if not zipfile.is_zipfile(path):
        return {}
    with zipfile.ZipFile(path) as archive:
        return json.loads(archive.read(METADATA_FILE)) if METADATA_FILE in archive.namelist() else {}
