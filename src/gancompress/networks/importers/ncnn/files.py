"""Reading of ncnn's ``.param`` text and ``.bin`` weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gancompress.errors import CheckpointError

_MAGIC = "7767517"
_HALF, _PLAIN = 0x01306B47, (0, 0x0002C056)
_ARRAY = -23300
"""Keys of arrays count down from this one."""


@dataclass(frozen=True)
class NcnnLayer:
    """A line of a ``.param`` file.

    Attributes:
        kind: Its layer type.
        name: Its name.
        inputs: Names of the blobs that it takes.
        outputs: Names of the blobs that it makes.
        options: Its parameters by number; lists for arrays.
    """

    kind: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    options: Mapping[int, Any]

    def integer(self, key: int, default: int = 0) -> int:
        """Return a parameter as an integer."""
        return int(self.options.get(key, default))

    def number(self, key: int, default: float = 0.0) -> float:
        """Return a parameter as a float."""
        return float(self.options.get(key, default))


def read_layers(path: Path) -> list[NcnnLayer]:
    """Return the layers of a ``.param`` file, in order.

    Raises:
        CheckpointError: It is no such text.
    """
    try:
        lines = [line.split() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        if lines[0] != [_MAGIC]:
            raise ValueError(f"it begins with {lines[0][0]}, not {_MAGIC}")
        return [_layer(words) for words in lines[2:]]
    except (ValueError, IndexError, UnicodeDecodeError) as error:
        raise CheckpointError(
            f"{path}: got no text of ncnn ({error}), expected a .param file; copy it again, or convert a binary one"
        ) from None


def _layer(words: list[str]) -> NcnnLayer:
    kind, name, num_inputs, num_outputs = words[0], words[1], int(words[2]), int(words[3])
    blobs, options = words[4 : 4 + num_inputs + num_outputs], {}
    for word in words[4 + num_inputs + num_outputs :]:
        key, _, text = word.partition("=")
        if int(key) <= _ARRAY:
            options[_ARRAY - int(key)] = [_number(each) for each in text.split(",")[1:]]
        else:
            options[int(key)] = _number(text)
    return NcnnLayer(kind, name, tuple(blobs[:num_inputs]), tuple(blobs[num_inputs:]), options)


def _number(text: str) -> float | int:
    return float(text) if any(mark in text for mark in ".eEni") else int(text)


class Weights:
    """Weights of a ``.bin`` file, read in the order of the layers."""

    def __init__(self, path: Path) -> None:
        """Open the file."""
        self.path, self._content, self._start = path, path.read_bytes(), 0

    def tagged(self, count: int) -> Tensor:
        """Read weights behind a tag of their type, which is float32 or half precision.

        Raises:
            CheckpointError: They are integers, or the file is cut off.
        """
        tag = int.from_bytes(self._take(4), "little")
        if tag == _HALF:
            values = self._values(count, np.dtype("<f2"))
            self._take(-2 * count % 4)
            return values
        if tag not in _PLAIN:
            raise CheckpointError(
                f"{self.path}: got weights of type {tag:#010x}, such as 8-bit integers, expected float32 or half "
                "precision; give the file before its quantization"
            )
        return self.plain(count)

    def plain(self, count: int) -> Tensor:
        """Read float32 weights. Raises CheckpointError if the file is cut off."""
        return self._values(count, np.dtype("<f4"))

    def check_end(self) -> None:
        """Check that all weights were read. Raises CheckpointError if some are left."""
        left = len(self._content) - self._start
        if left:
            raise CheckpointError(
                f"{self.path}: got {left:,} bytes more than its .param file takes, expected none; give both files of "
                "one network"
            )

    def _values(self, count: int, dtype: np.dtype) -> Tensor:
        values = np.frombuffer(self._take(count * dtype.itemsize), dtype)
        return torch.from_numpy(values.astype(np.float32))

    def _take(self, num_bytes: int) -> bytes:
        taken = self._content[self._start : self._start + num_bytes]
        if len(taken) < num_bytes:
            raise CheckpointError(
                f"{self.path}: got {len(self._content):,} bytes, expected more, by its .param file; it may be cut off "
                "or of another network: copy both again"
            )
        self._start += num_bytes
        return taken
