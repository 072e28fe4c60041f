"""A few lines of Python that run an exported file without this package."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from gancompress.export.contract import from_text
from gancompress.export.runtimes.files import open_file
from gancompress.export.runtimes.runner import Input

_MEANING = {"NCHW": "images, RGB in [-1, 1]", "NHW": "numbers of classes", "NC": "standard normal noise"}

_RUN = {
    ".onnx": (
        "import numpy\nimport onnxruntime\n\n",
        'session = onnxruntime.InferenceSession("{file}")\n',
        "(result,) = session.run(None, {{{named}}})\n",
    ),
    ".xml": (
        "import numpy\nimport openvino\n\n",
        'network = openvino.compile_model("{file}", "CPU"{options})\n',
        "result = network([{given}])[0]\n",
    ),
    ".pt2": (
        "import numpy\nimport torch\n\n",
        'network = torch.export.load("{file}").module()\n',
        "result = network({tensors}).detach()\n",
    ),
    ".mlpackage": (
        "import coremltools\nimport numpy\n\n",
        'network = coremltools.models.MLModel("{file}")\n',
        "(result,) = network.predict({{{named}}}).values()  # on macOS\n",
    ),
    ".tflite": (
        "import numpy\nfrom ai_edge_litert.interpreter import Interpreter\n\n",
        'network = Interpreter("{file}").get_signature_runner()\n',
        "(result,) = network(**{{{named}}}).values()\n",
    ),
}


def usage(path: Path, shapes: Sequence[tuple[int | None, ...]] | None = None) -> str:
    """Python that runs a file in the folder where it lies, by its runtime alone.

    Args:
        path: The file.
        shapes: Of an example of each input; those in the file, where it fixes them, by default.

    Raises:
        ExportError: The runtime is missing, or refuses the file.
    """
    runner = open_file(path)
    contract = from_text(runner.metadata)
    imports, opened, run = _RUN[path.suffix]
    variables = _variables(runner.inputs)
    shapes = [each.shape for each in runner.inputs] if shapes is None else shapes
    arrays = "".join(
        f"{variable} = numpy.zeros({tuple(shape)}, numpy.{str(known.dtype).removeprefix('torch.')})"
        f"  # {_comment(known, place, contract.get('layout', ''))}\n"
        for place, (variable, known, shape) in enumerate(zip(variables, runner.inputs, shapes, strict=True))
    )
    bf16 = ', {"INFERENCE_PRECISION_HINT": "bf16"}' if contract.get("precision") == "bf16" else ""
    words = {
        "file": path.name,
        "options": bf16,
        "given": ", ".join(variables),
        "named": ", ".join(f'"{known.name}": {name}' for name, known in zip(variables, runner.inputs, strict=True)),
        "tensors": ", ".join(f"torch.from_numpy({name})" for name in variables),
    }
    return imports + opened.format(**words) + arrays + run.format(**words)


def _variables(inputs: Sequence[Input]) -> list[str]:
    if len(inputs) == 1:
        return ["images" if len(inputs[0].shape) == 4 else inputs[0].name]
    return [each.name for each in inputs]


def _comment(known: Input, place: int, layout: str) -> str:
    free = sum(size is None for size in known.shape)
    sizes = "any batch and size" if free > 1 else "any batch" if free else "this batch and size"
    meaning = _MEANING.get(layout, "as the network takes them") if place == 0 else "beside the first"
    return f"{meaning}, {sizes}"
