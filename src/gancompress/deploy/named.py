"""Networks and files to show or to time, with their names on pages and in tables."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gancompress.deploy.axes import Inputs
from gancompress.deploy.input_contract import InputContract
from gancompress.networks.file_form import FileForm
from gancompress.networks.generator import Generator


@dataclass(frozen=True)
class NamedNetwork:
    """Generator with a name.

    Attributes:
        name: Its name, and that of its file on a page.
        generator: The generator, in float.
        form: Form in which its file takes its inputs, with examples of the size that it is shown or timed at; its
            module is quantized if training quantized the generator.
        example: Example inputs of the generator itself, of the same size.
    """

    name: str
    generator: Generator
    form: FileForm
    example: Inputs


@dataclass(frozen=True)
class NamedFile:
    """Exported file with a name.

    Attributes:
        name: Its name.
        path: ``.onnx``, ``.xml`` or ``.pt2``.
        takes: Contract of its inputs.
        inputs: Example inputs.
    """

    name: str
    path: Path
    takes: InputContract
    inputs: Inputs
