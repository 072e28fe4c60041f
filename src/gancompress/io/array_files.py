"""Reading of arrays and parts of arrays from ``.npy``, ``.npz``, ``.pt``, ``.pth`` and ``.safetensors`` files.

Nothing in a file is executed. Of ``.npy`` and ``.safetensors`` files only the part asked for is read.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor

from gancompress.errors import CheckpointError, DataError
from gancompress.io.torch_files import open_torch_file

ONLY = "input"
"""Name of the array of a file that holds one without a name."""

Part = tuple[slice, ...]


@dataclass(frozen=True)
class StoredArray:
    """An array in a file.

    Attributes:
        shape: Its shape.
        read: Reads a part of it: floats as float32, integers as int64, booleans.
    """

    shape: tuple[int, ...]
    read: Callable[[Part], Tensor]


@contextmanager
def open_arrays(path: Path) -> Iterator[Mapping[str, StoredArray]]:
    """Open the arrays of a file by name; an array without a name is ``input``.

    Raises:
        DataError: The file is damaged or of another kind, or holds no arrays of numbers.
    """
    suffix = path.suffix.lower()
    try:
        if suffix == ".safetensors":
            with safe_open(path, framework="pt") as file:
                yield {name: _sliced(file.get_slice(name)) for name in file.keys()}  # noqa: SIM118 (no mapping)
            return
        yield _torch_arrays(path) if suffix in (".pt", ".pth") else _numpy_arrays(path)
    except DataError:
        raise
    except CheckpointError as error:
        raise DataError(str(error)) from error
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, KeyError) as error:
        raise _broken(path, error) from error
    except Exception as error:
        if type(error).__module__.partition(".")[0] not in ("safetensors", "safetensors_rust"):
            raise
        raise _broken(path, error) from error


def plain(values: Tensor, where: str) -> Tensor:
    """Return floats as float32, integers as int64, booleans unchanged. Raises DataError for values of another type."""
    if values.is_floating_point():
        return values.to(torch.float32)
    if values.dtype == torch.bool:
        return values
    if values.is_complex() or values.is_quantized:
        raise DataError(f"{where}: got values of {values.dtype}, expected floats, integers or booleans; convert them")
    return values.to(torch.int64)


def _broken(path: Path, error: Exception) -> DataError:
    reason = str(error) or type(error).__name__
    return DataError(
        f"{path}: got a file of which no array can be read ({reason}), expected a whole one; copy it again"
    )


def _sliced(stored: Any) -> StoredArray:
    return StoredArray(tuple(stored.get_shape()), lambda part: stored[part] if part else stored[:])


def _numpy_arrays(path: Path) -> dict[str, StoredArray]:
    if path.suffix.lower() == ".npz":
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as file:
            return {name: _held(file[name]) for name in file.files}
    return {ONLY: _held(np.load(path, mmap_mode="r", allow_pickle=False))}


def _held(values: np.ndarray) -> StoredArray:
    return StoredArray(values.shape, lambda part: torch.from_numpy(np.array(values[part])))


def _torch_arrays(path: Path) -> dict[str, StoredArray]:
    file = open_torch_file(path)
    content = file.content if isinstance(file.content, Mapping) else {ONLY: file.content}
    found = {str(name): tensor for name, value in content.items() if (tensor := file.tensor(value)) is not None}
    if not found:
        raise DataError(f"{path}: got a file without tensors, expected a tensor, or a dict of tensors")
    odd = next((name for name, tensor in found.items() if tensor.kind), None)
    if odd is not None:
        raise DataError(f"{path}: '{odd}' is a {found[odd].kind} tensor, expected plain values; convert it")
    return {
        name: StoredArray(each.shape, lambda part, each=each: file.read(each)[part]) for name, each in found.items()
    }
