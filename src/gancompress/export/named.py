"""What is shown or timed, under the name by which a page or a table calls it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gancompress.export.axes import Inputs
from gancompress.export.input_contract import InputContract
from gancompress.models.file_form import FileForm
from gancompress.models.generator import Generator


@dataclass(frozen=True)
class NamedNetwork:
    """A generator.

    Attributes:
        name: Its name; on a page its file's, too.
        generator: The generator, in float.
        form: How its file takes its inputs, with examples of the size that it is shown or timed at; its module is
            quantized where training quantized the generator.
        example: What the generator itself takes, of the same size.
    """

    name: str
    generator: Generator
    form: FileForm
    example: Inputs


@dataclass(frozen=True)
class NamedFile:
    """An exported file.

    Attributes:
        name: Its name.
        path: ``.onnx``, ``.xml`` or ``.pt2``.
        takes: What it takes.
        inputs: Examples of that.
    """

    name: str
    path: Path
    takes: InputContract
    inputs: Inputs
