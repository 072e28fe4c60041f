"""Reading of files that ``torch.save`` wrote: their containers as plain values, their tensors only when asked for.

Nothing in a file is imported, created or called, whatever it holds beside the tensors.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from mmap import ACCESS_COPY, mmap
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor

from gancompress.errors import CheckpointError
from gancompress.io.files import is_file
from gancompress.io.inert_pickle import Foreign, Name, Persistent, read_pickle

_ALIGNMENT = 16
"""Bytes of the largest element."""
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_MOST_REPEATED_ELEMENTS = 2**24
"""Limit of a tensor that has more elements than its storage, because it was expanded."""

_DTYPES = {
    "Float": torch.float32,
    "Double": torch.float64,
    "Half": torch.float16,
    "BFloat16": torch.bfloat16,
    "Long": torch.int64,
    "Int": torch.int32,
    "Short": torch.int16,
    "Char": torch.int8,
    "Byte": torch.uint8,
    "Bool": torch.bool,
    "ComplexFloat": torch.complex64,
    "ComplexDouble": torch.complex128,
    "QInt8": torch.qint8,
    "QUInt8": torch.quint8,
    "QInt32": torch.qint32,
    "Untyped": torch.uint8,
}
_STORAGES = {f"torch.{name}Storage": dtype for name, dtype in _DTYPES.items()}
_STORAGES |= {f"torch.storage.{name}Storage": dtype for name, dtype in _DTYPES.items()}
_NAMED_DTYPES = {str(value): value for value in vars(torch).values() if isinstance(value, torch.dtype)}
_QUANTIZED = (torch.qint8, torch.quint8, torch.qint32)

# Functions by which tensors without plain values in the file are made, and a word for such tensors.
_WITHOUT_VALUES = {
    "_rebuild_qtensor": "quantized",
    "_rebuild_sparse_tensor": "sparse",
    "_rebuild_sparse_csr_tensor": "sparse",
    "_rebuild_nested_tensor": "nested",
    "_rebuild_meta_tensor_no_storage": "meta",
    "_rebuild_wrapper_subclass": "wrapped",
    "_rebuild_device_tensor_from_numpy": "device",
}


_AROUND_A_TENSOR = (
    "Parameter",
    "_rebuild_parameter",
    "_rebuild_parameter_with_state",
    "_rebuild_device_tensor_from_cpu_tensor",
)
"""Functions whose first argument is the tensor."""


@dataclass(frozen=True, eq=False)
class StoredTensor:
    """A tensor of a file, before it is read.

    Attributes:
        shape: Its shape.
        dtype: Its type; None if it has no plain values.
        kind: Word for a tensor without plain values, such as "quantized"; empty for others.
        storage: Key of its storage.
        offset: Its first element in the storage.
        stride: Elements from one index to the next, for every axis.
    """

    shape: tuple[int, ...]
    dtype: torch.dtype | None = None
    kind: str = ""
    storage: str = ""
    offset: int = 0
    stride: tuple[int, ...] = ()


@dataclass(frozen=True)
class _Place:
    """Bytes of a storage in the file."""

    start: int
    num_bytes: int


@dataclass(frozen=True, eq=False)
class TorchFile:
    """A file that ``torch.save`` wrote.

    Attributes:
        path: The file.
        content: What was saved, as `read_pickle` returns it.
    """

    path: Path
    content: Any
    _places: Mapping[str, _Place]
    _read: dict[str, torch.UntypedStorage] = field(default_factory=dict)

    def tensor(self, value: Any) -> StoredTensor | None:
        """Return the tensor, parameter or tensor subclass that a value of the content stands for, else None."""
        for _ in range(4):  # a parameter of a subclass of a tensor
            if not isinstance(value, Foreign):
                return None
            function, given = value.of.rpartition(".")[2], value.arguments
            if function in _AROUND_A_TENSOR and given:
                value = given[0]
            elif function in ("_rebuild_from_type_v2", "_rebuild_from_type") and len(given) > 2:
                value = Foreign(getattr(given[0], "path", ""), given[2] if isinstance(given[2], tuple) else ())
            elif not value.of.startswith("torch."):
                return None
            elif function in _WITHOUT_VALUES:
                return StoredTensor((), kind=_WITHOUT_VALUES[function])
            else:
                return _stored(function, given)
        return None

    def read(self, tensor: StoredTensor) -> Tensor:
        """Read a tensor; tensors of one storage share it.

        Raises:
            CheckpointError: The file is cut off, or says of the tensor what cannot be.
        """
        assert tensor.dtype is not None
        made = torch.empty(0, dtype=tensor.dtype)
        if 0 in tensor.shape:
            return made.new_empty(tensor.shape)
        if tensor.storage not in self._read:
            self._read[tensor.storage] = self._bytes(tensor.storage)
        storage = self._read[tensor.storage]
        steps = zip(tensor.shape, tensor.stride, strict=True)
        last = tensor.offset + sum((size - 1) * step for size, step in steps)
        available = storage.nbytes() // tensor.dtype.itemsize
        if min(tensor.offset, *tensor.stride, 0) < 0 or last >= available:
            raise _damaged(self.path, "a tensor beyond the end of its storage")
        if math.prod(tensor.shape) > max(available, _MOST_REPEATED_ELEMENTS):
            raise _damaged(self.path, f"a tensor of {math.prod(tensor.shape)} elements in {storage.nbytes()} bytes")
        return made.set_(storage, tensor.offset, tensor.shape, tensor.stride)  # type: ignore[call-overload]

    def _bytes(self, key: str) -> torch.UntypedStorage:
        place = self._places.get(key)
        if place is None or place.start + place.num_bytes > self.path.stat().st_size:
            raise _damaged(self.path, f"no storage '{key}', which one of its tensors needs")
        if not place.num_bytes:
            return torch.UntypedStorage(0)
        found = torch.frombuffer(self._mapped, dtype=torch.uint8, count=place.num_bytes, offset=place.start)
        # Files of before PyTorch 1.6 align nothing, and kernels expect aligned elements.
        return (found if place.start % _ALIGNMENT == 0 else found.clone()).untyped_storage()

    @cached_property
    def _mapped(self) -> mmap:
        """The file in memory, read when touched; writing to it changes a copy of the page, and not the file."""
        with self.path.open("rb") as file:
            return mmap(file.fileno(), 0, access=ACCESS_COPY)


def is_torchscript(path: Path) -> bool:
    """Return whether a file is a TorchScript program, or may be one because it is damaged."""
    if not is_file(path) or not zipfile.is_zipfile(path):
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith("constants.pkl") for name in archive.namelist())
    except Exception:  # a damaged zip fails in any way
        return True


def open_torch_file(path: Path) -> TorchFile:
    """Open a file that ``torch.save`` wrote, in its zip form or that of before PyTorch 1.6.

    Raises:
        CheckpointError: The file is damaged, of another kind, or holds a TorchScript program.
    """
    with path.open("rb") as file:
        try:
            return _open_zip(path, file) if zipfile.is_zipfile(file) else _open_legacy(path, file)
        except CheckpointError:
            raise
        except Exception as error:  # a damaged zip fails in any way, from EOFError to NotImplementedError
            raise _unreadable(path, error) from None


def _open_zip(path: Path, file: IO[bytes]) -> TorchFile:
    with zipfile.ZipFile(file) as archive:
        entries = {entry.filename: entry for entry in archive.infolist()}
        pickles = sorted((name for name in entries if name.endswith("data.pkl")), key=len)
        if not pickles:
            raise ValueError("no data.pkl in it")
        folder = pickles[0].removesuffix("data.pkl")
        if f"{folder}constants.pkl" in entries:
            raise CheckpointError(
                f"{path}: got a TorchScript program, expected tensors; save the network's state_dict() instead"
            )
        packed = [entry.filename for entry in entries.values() if entry.compress_type != zipfile.ZIP_STORED]
        if packed:
            raise CheckpointError(
                f"{path}: got a compressed entry '{packed[0]}', which torch.save never writes, expected plain ones; "
                "load it where it comes from and save it again with torch.save"
            )
        if f"{folder}byteorder" in entries and archive.read(f"{folder}byteorder") != b"little":
            raise CheckpointError(
                f"{path}: got tensors of a big-endian machine, expected little-endian ones; load and save them again"
            )
        with archive.open(pickles[0]) as pickled:
            content = read_pickle(pickled)
        data = f"{folder}data/"
        places = {
            name.removeprefix(data): _Place(_start(file, entry), entry.file_size)
            for name, entry in entries.items()
            if name.startswith(data)
        }
    return TorchFile(path, content, places)


def _start(file: IO[bytes], entry: zipfile.ZipInfo) -> int:
    """Return the place of an entry's bytes: after a header of 30 bytes, a name and an extra field."""
    file.seek(entry.header_offset)
    header = file.read(30)
    if header[:4] != b"PK\3\4" or len(header) < 30:
        raise ValueError("a damaged entry in it")
    return entry.header_offset + 30 + int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")


def _open_legacy(path: Path, file: IO[bytes]) -> TorchFile:
    file.seek(0)
    if read_pickle(file) != _LEGACY_MAGIC:
        raise ValueError("a pickle that torch.save did not write")
    read_pickle(file)  # the version
    system = read_pickle(file)
    if isinstance(system, dict) and system.get("little_endian") is False:
        raise ValueError("tensors of a big-endian machine")
    content, keys = read_pickle(file), read_pickle(file)
    sizes = {} if not keys else _element_sizes(content)
    places, start = {}, file.tell()
    for key in keys:
        file.seek(start)
        count = int.from_bytes(file.read(8), "little")
        num_bytes = count * sizes.get(str(key), 1)
        places[str(key)] = _Place(start + 8, num_bytes)
        start += 8 + num_bytes
    if start > path.stat().st_size:
        raise ValueError("it is cut off")
    return TorchFile(path, content, places)


def _element_sizes(content: Any) -> dict[str, int]:
    """Return the bytes of an element of every storage that a content refers to."""
    sizes: dict[str, int] = {}
    seen: set[int] = set()
    waiting = [content]
    while waiting:
        value = waiting.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, Persistent):
            storage = _storage(value)
            if storage is not None:
                sizes[storage[0]] = storage[1].itemsize
        elif isinstance(value, Foreign):
            waiting += [value.arguments, value.state, value.items]
        elif isinstance(value, dict):
            waiting += [*value.values(), getattr(value, "state", None)]
        elif isinstance(value, list | tuple):
            waiting += value
    return sizes


def _stored(function: str, given: tuple[Any, ...]) -> StoredTensor | None:
    """Return the tensor of a call of ``_rebuild_tensor``, ``_v2`` or ``_v3``."""
    if function not in ("_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_tensor_v3") or len(given) < 4:
        return None
    storage = _storage(given[0])
    offset, shape, stride = given[1], _integers(given[2]), _integers(given[3])
    if storage is None or not isinstance(offset, int) or shape is None or stride is None or len(shape) != len(stride):
        return StoredTensor(shape or (), kind="unknown")
    key, dtype, start = storage
    if function == "_rebuild_tensor_v3":
        found = _NAMED_DTYPES.get(getattr(given[6], "path", "")) if len(given) > 6 else None
        if found is None:
            return StoredTensor(shape, kind="unknown")
        dtype = found
    kind = "complex" if dtype.is_complex else "quantized" if dtype in _QUANTIZED else ""
    return StoredTensor(shape, dtype, kind, key, start + offset, stride)


def _storage(reference: Any) -> tuple[str, torch.dtype, int] | None:
    """Return key, type and first element of a storage: ``("storage", class, key, device, count[, view])``."""
    given = reference.id if isinstance(reference, Persistent) else None
    if not isinstance(given, tuple) or len(given) < 5 or given[0] != "storage" or not isinstance(given[1], Name):
        return None
    dtype = _STORAGES.get(given[1].path)
    view = given[5] if len(given) > 5 else None
    start = view[1] if isinstance(view, tuple) and len(view) == 3 and isinstance(view[1], int) else 0
    return None if dtype is None else (str(given[2]), dtype, start)


def _integers(value: Any) -> tuple[int, ...] | None:
    """Return a size as a tuple; None if it holds anything but whole numbers."""
    if isinstance(value, Foreign) and value.of == "torch.Size" and value.arguments:
        value = value.arguments[0]
    if isinstance(value, list | tuple) and all(type(each) is int and 0 <= each < 2**63 for each in value):
        return tuple(value)
    return None


def _damaged(path: Path, what: str) -> CheckpointError:
    return CheckpointError(f"{path}: got {what}, expected a whole file written by torch.save; copy it again")


def _unreadable(path: Path, error: Exception) -> CheckpointError:
    reason = " ".join(str(error).split())[:200]
    return CheckpointError(
        f"{path}: got something that is no file of torch.save ({type(error).__name__}: {reason}), expected one; it may "
        "be cut off or of another kind: copy it again"
    )
