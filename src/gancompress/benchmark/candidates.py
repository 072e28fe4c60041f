"""What a runtime gets of a network or of an exported file: something to open, and inputs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from gancompress.benchmark.runtimes import RUNTIMES, Candidate
from gancompress.export import FORMATS, export_generator
from gancompress.export.axes import Inputs, at_batch
from gancompress.export.named import NamedFile, NamedNetwork
from gancompress.export.web import Contents, drawn_inputs, runtime_folder, write_page
from gancompress.quantization import quantized_layers


def prepared(candidate: Candidate, runtime: str, folder: Path, say: Callable[[str], None]) -> Path:
    """What a runtime opens: an exported file, the one network's file of a page, or a saved generator.

    A quantized network becomes a file that holds its integers (QDQ), which OpenVINO reads as ONNX, too; PyTorch's
    own runtimes run it as a float network.

    Args:
        candidate: What is timed.
        runtime: A name in `RUNTIMES`.
        folder: Where files are written; those that are there already are taken.
        say: Where to tell what goes on.

    Raises:
        ExportError: The network cannot be exported.
    """
    if isinstance(candidate, NamedFile):
        return candidate.path
    kind = RUNTIMES[runtime].format
    quantized = bool(quantized_layers(candidate.form.module))
    home = folder / candidate.name.replace("/", "_")
    if kind is None:
        if quantized:
            say(f"{candidate.name}: {runtime} runs it in float, for rounding is only imitated there, not deployed")
        if not home.is_dir():
            candidate.generator.save(home)
        return home
    if kind == "web":
        return _page(candidate, home.with_name(f"{home.name}-page"), say)
    kind = "onnx" if quantized else kind
    path = home.with_name(f"{home.name}-{kind}") / FORMATS[kind].file_name
    if not path.exists():
        say(f"{candidate.name}: exporting to {kind}")
        export_generator(candidate.generator, candidate.form, path, kind)
    return path


def inputs_of(candidate: Candidate, runtime: str, batch: int) -> Inputs:
    """What a runtime runs it on: what files take, or where the network runs itself what that takes.

    Args:
        candidate: What is timed.
        runtime: A name in `RUNTIMES`.
        batch: Images at once.

    Raises:
        InputSizeError: An exported file takes no such batch.
    """
    if isinstance(candidate, NamedFile):
        inputs = at_batch(candidate.inputs, batch)
        candidate.takes.check(inputs)
        return inputs
    return at_batch(candidate.example if RUNTIMES[runtime].format is None else candidate.form.inputs, batch)


def disk_bytes(path: Path) -> int:
    """What a file takes with its weights beside it, or all that lies in a folder."""
    if path.is_dir():
        return sum(file.stat().st_size for file in path.iterdir())
    weights = path.with_suffix(".bin")
    return path.stat().st_size + (weights.stat().st_size if path.suffix == ".xml" and weights.exists() else 0)


def _page(network: NamedNetwork, folder: Path, say: Callable[[str], None]) -> Path:
    """A page with one network, whose file is returned; without any but a drawn input."""
    alone = replace(network, name="original")
    contents = Contents(network.name, samples=drawn_inputs(network.form, count=1))
    write_page(folder, contents, [alone], runtime_folder(), lambda line: say(line.replace("original", network.name)))
    return folder / f"{alone.name}.onnx"
