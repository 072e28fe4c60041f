"""JSON files that state their format and its version."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gancompress.errors import CheckpointError
from gancompress.io.files import write_atomically


@dataclass(frozen=True)
class DescribedFile:
    """Kind of JSON file whose fields ``format`` and ``version`` tell who can read it.

    Attributes:
        format: Value of ``format``, such as ``gancompress-generator``.
        writer: Function that writes the files, for messages.
        versions: Versions that this program reads, ascending.
        types: Type of each field that a file must have.
    """

    format: str
    writer: str
    versions: tuple[int, ...]
    types: Mapping[str, type | tuple[type, ...]]

    def text(self, fields: Mapping[str, Any], version: int | None = None) -> str:
        """Return the content of a file; its version is the newest one by default.

        Raises:
            TypeError: JSON has no form for a value.
        """
        written = {"format": self.format, "version": version or self.versions[-1], **fields}
        return f"{json.dumps(written, indent=2)}\n"

    def write(self, path: Path, fields: Mapping[str, Any], version: int | None = None) -> None:
        """Write a file atomically. Raises TypeError as `text`."""
        write_atomically(path, self.text(fields, version).encode())

    def read(self, path: Path) -> dict[str, Any]:
        """Read the fields of a file.

        Raises:
            CheckpointError: It is no JSON object of this format and a known version, or a field is missing or has a
                wrong type.
        """
        expected = f"expected a file that {self.writer} wrote"
        try:
            fields = json.loads(path.read_bytes())
        except ValueError as error:
            raise CheckpointError(f"{path}: got invalid JSON ({error}), {expected}") from None
        if not isinstance(fields, dict) or fields.get("format") != self.format:
            raise CheckpointError(f'{path}: found no \'"format": "{self.format}"\', {expected}')
        if fields.get("version") not in self.versions:
            known = " or ".join(map(str, self.versions))
            raise CheckpointError(
                f"{path}: got format version {fields.get('version')}, expected {known}; update gancompress"
            )
        wrong = [f"'{name}'" for name, kind in self.types.items() if not isinstance(fields.get(name), kind)]
        if wrong:
            raise CheckpointError(f"{path}: {', '.join(wrong)} missing or of a wrong type, {expected}")
        return fields
