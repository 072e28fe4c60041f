"""Preparation of benchmark candidates: the file or saved generator that a runtime opens, and its inputs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from gancompress.deploy import Mode, export_generator, find_format, find_mode, known_formats
from gancompress.deploy.axes import Inputs, at_batch
from gancompress.deploy.benchmark.runtimes import Candidate
from gancompress.deploy.named import NamedFile
from gancompress.errors import ExportError
from gancompress.quantization import quantized_layers


def prepared(candidate: Candidate, name: str, folder: Path, say: Callable[[str], None]) -> Path:
    """Return the path that a mode opens: an exported file, a page's file, or a saved generator.

    A quantized network is exported to the format that stores its integers (QDQ), which OpenVINO reads as ONNX, too;
    PyTorch's own modes run it as a float network.

    Args:
        candidate: The network or file.
        name: Name of the mode.
        folder: Folder for the files; existing ones are reused.
        say: Reports progress.

    Raises:
        ExportError: The network cannot be exported.
    """
    if isinstance(candidate, NamedFile):
        return candidate.path
    runtime, mode = find_mode(name)
    own = runtime.prepare(candidate, folder, say)
    if own is not None:
        return own
    quantized = bool(quantized_layers(candidate.form.module))
    home = folder / candidate.name.replace("/", "_")
    if mode.format is None:
        if quantized:
            say(f"{candidate.name}: {name} runs it in float, for rounding is only imitated there, not deployed")
        if not home.is_dir():
            candidate.generator.save(home)
        return home
    format = _format_of_integers(mode) if quantized else mode.format
    path = home.with_name(f"{home.name}-{format}") / find_format(format)[1].file_name
    if not path.exists():
        say(f"{candidate.name}: exporting to {format}")
        export_generator(candidate.generator, candidate.form, path, format)
    return path


def inputs_of(candidate: Candidate, name: str, batch: int) -> Inputs:
    """Return benchmark inputs: file inputs for modes that run files, the network's own for those that run networks.

    Args:
        candidate: The network or file.
        name: Name of the mode.
        batch: Batch size.

    Raises:
        InputSizeError: An exported file takes no such batch.
    """
    if isinstance(candidate, NamedFile):
        inputs = at_batch(candidate.inputs, batch)
        candidate.takes.check(inputs)
        return inputs
    runs_networks = find_mode(name)[1].format is None
    return at_batch(candidate.example if runs_networks else candidate.form.inputs, batch)


def _format_of_integers(mode: Mode) -> str:
    """Return the format that stores integers as they were trained, among those that a mode reads."""
    able = (
        name for name, each in known_formats().items() if each.stores_trained_integers and each.ending in mode.endings
    )
    found = next(able, None)
    if found is None:
        raise ExportError(f"bench: got a quantized network for {mode.name}, which runs no file that holds its integers")
    return found
