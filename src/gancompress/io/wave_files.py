"""Reading and writing of ``.wav`` files: integers of 8, 16, 24 and 32 bits, floats of 32 and 64 bits.

Source: Microsoft and IBM, Multimedia Programming Interface and Data Specifications 1.0, 1991; WAVEFORMATEXTENSIBLE.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gancompress.errors import DataError

_INTEGERS, _FLOATS, _EXTENSIBLE = 1, 3, 0xFFFE
_TYPES = {
    (_INTEGERS, 8): "u1",
    (_INTEGERS, 16): "<i2",
    (_INTEGERS, 32): "<i4",
    (_FLOATS, 32): "<f4",
    (_FLOATS, 64): "<f8",
}


@dataclass(frozen=True)
class WaveFile:
    """A sound in a file.

    Attributes:
        path: The file.
        sample_rate: Samples of a second.
        num_channels: Number of channels.
        num_samples: Samples of each channel.
    """

    path: Path
    sample_rate: int
    num_channels: int
    num_samples: int
    _encoding: int
    _bits: int
    _start: int

    def read(self, first: int = 0, count: int | None = None) -> Tensor:
        """Read samples, float32 [num_channels, count]; integers are scaled to [-1, 1].

        Args:
            first: The first sample.
            count: Number of samples; all others by default.

        Raises:
            DataError: The file ends before them.
        """
        count = self.num_samples - first if count is None else count
        width = self.num_channels * self._bits // 8
        with self.path.open("rb") as file:
            file.seek(self._start + first * width)
            content = file.read(count * width)
        if len(content) < count * width:
            raise DataError(
                f"{self.path}: got a sound that is cut off, expected {self.num_samples:,} samples; copy it again"
            )
        values = torch.from_numpy(self._decoded(content)).view(count, self.num_channels)
        return values.T.contiguous()

    def _decoded(self, content: bytes) -> np.ndarray:
        if self._bits == 24:
            wide = np.zeros((len(content) // 3, 4), np.uint8)
            wide[:, 1:] = np.frombuffer(content, np.uint8).reshape(-1, 3)
            return wide.view("<i4")[:, 0].astype(np.float32) / 2**31
        values = np.frombuffer(content, _TYPES[self._encoding, self._bits])
        if self._encoding == _FLOATS:
            return values.astype(np.float32)
        if self._bits == 8:
            return (values.astype(np.float32) - 128) / 128
        return values.astype(np.float32) / 2 ** (self._bits - 1)


def open_wave(path: Path) -> WaveFile:
    """Open a ``.wav`` file; only its header is read.

    Raises:
        DataError: It is no such file, damaged, or encoded in another way.
    """
    encoding = bits = rate = channels = 0
    try:
        with path.open("rb") as file:
            if (start := file.read(12))[:4] != b"RIFF" or start[8:] != b"WAVE":
                raise DataError(
                    f"{path}: got a file that is no WAVE file, expected RIFF and WAVE at its start; convert it"
                )
            while True:
                name, size = struct.unpack("<4sI", file.read(8))
                if name == b"fmt ":
                    content = file.read(size)
                    encoding, channels, rate, _, _, bits = struct.unpack("<HHIIHH", content[:16])
                    if encoding == _EXTENSIBLE:
                        (encoding,) = struct.unpack("<H", content[24:26])
                elif name == b"data":
                    break
                else:
                    file.seek(size, 1)
                file.seek(size % 2, 1)
            start_of_data = file.tell()
            size = min(size, path.stat().st_size - start_of_data)  # programs that stream leave a size that is too large
    except (OSError, struct.error) as error:
        raise DataError(
            f"{path}: got a WAVE file that cannot be read ({error}), expected a whole one; copy it again"
        ) from error
    if (encoding, bits) not in (*_TYPES, (_INTEGERS, 24)) or not channels or not rate:
        raise DataError(
            f"{path}: got {channels} channels in encoding {encoding} of {bits} bits, expected integers of 8 to 32 bits "
            "or floats; convert the file"
        )
    return WaveFile(path, rate, channels, size // (channels * bits // 8), encoding, bits, start_of_data)
