"""Example code that runs an exported file without this package."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from gancompress.deploy.contract import from_text
from gancompress.deploy.runtimes.registry import open_file, runtime_of
from gancompress.deploy.runtimes.runner import Input

_MEANING = {"NCHW": "images, RGB in [-1, 1]", "NHW": "numbers of classes", "NC": "standard normal noise"}


def usage(path: Path, shapes: Sequence[tuple[int | None, ...]] | None = None) -> str:
    """Return Python that runs a file, in the file's folder, with its runtime alone.

    Args:
        path: The file.
        shapes: Shapes of an example of each input; those fixed in the file by default.

    Raises:
        ConfigError: No runtime has this ending.
        ExportError: The runtime is missing, or refuses the file.
    """
    runner, runtime = open_file(path), runtime_of(path)
    assert runtime is not None  # it has opened the file
    contract = from_text(runner.metadata)
    variables = _variables(runner.inputs)
    shapes = [each.shape for each in runner.inputs] if shapes is None else shapes
    arrays = "".join(
        f"{variable} = numpy.zeros({tuple(shape)}, numpy.{str(known.dtype).removeprefix('torch.')})"
        f"  # {_comment(known, place, contract.get('layout', ''))}\n"
        for place, (variable, known, shape) in enumerate(zip(variables, runner.inputs, shapes, strict=True))
    )
    names = [each.name for each in runner.inputs]
    python = runtime.usage(path.name, dict(zip(names, variables, strict=True)), contract.get("precision", ""))
    return python.imports + python.opened + arrays + python.run


def _variables(inputs: Sequence[Input]) -> list[str]:
    if len(inputs) == 1:
        return ["images" if len(inputs[0].shape) == 4 else inputs[0].name]
    return [each.name for each in inputs]


def _comment(known: Input, place: int, layout: str) -> str:
    free = sum(size is None for size in known.shape)
    sizes = "any batch and size" if free > 1 else "any batch" if free else "this batch and size"
    meaning = _MEANING.get(layout, "as the network takes them") if place == 0 else "beside the first"
    return f"{meaning}, {sizes}"
