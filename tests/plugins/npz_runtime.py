"""A runtime in one file: pickled modules in NumPy archives (``.npz``), in place of a real converter."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from gancompress.deploy import Conversion, Format, Input, PrecisionName, Runner, Runtime, register_runtime
from gancompress.errors import ExportError


@register_runtime
class Npz(Runtime):
    """Modules in NumPy archives, of the size of the example."""

    name = "npz"
    title = "NPZ"
    formats = (Format(name="npz", file_name="model.npz", rewrites=("folded_batch_norms",), free_sizes=False),)

    def convert(self, network: nn.Module, path: Path, how: Conversion) -> str:
        """Write the network, its inputs, and the metadata."""
        inputs = {name: [*value.shape] for name, value in zip(how.input_names, how.inputs, strict=True)}
        facts = json.dumps({"inputs": inputs, "metadata": dict(how.metadata)})
        with path.open("wb") as file:
            np.savez(file, network=np.frombuffer(pickle.dumps(network), np.uint8), facts=facts)
        return "1 archive"

    def open(self, path: Path, threads: int | None = None, precision: PrecisionName | None = None) -> Runner:
        """Open an archive."""
        try:
            with np.load(path) as archive:
                facts = json.loads(str(archive["facts"]))
                network = pickle.loads(archive["network"].tobytes())
        except Exception as error:
            raise ExportError(f"{path}: NPZ cannot run the file: {error}") from error
        inputs = tuple(Input(name, tuple(shape), torch.float32) for name, shape in facts["inputs"].items())

        def run(values: tuple[Tensor, ...]) -> list[Tensor]:
            with torch.no_grad():
                return [network(*values)]

        return Runner(run, facts["metadata"], inputs)
