"""Reading and writing of safetensors files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from gancompress.errors import CheckpointError
from gancompress.io import write_atomically


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """Return the tensors in a safetensors file, by name; names that were saved as tied share one tensor.

    Raises:
        CheckpointError: The file is missing, empty or damaged, or holds no tensors.
    """
    check_file(path)
    try:
        with safe_open(path, framework="pt") as file:
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            aliases = file.metadata() or {}
    except SafetensorError as error:
        raise CheckpointError(f"{path}: got a damaged file ({error}), expected safetensors; copy it again") from None
    if not state:
        raise CheckpointError(f"{path}: got a file without tensors, expected weights; save the network's state_dict()")
    return state | {alias: state[name] for alias, name in aliases.items() if name in state}


def write_safetensors(path: Path, state: Mapping[str, Tensor]) -> None:
    """Write tensors to a file, atomically.

    Tied tensors are written once, with their other names in the metadata of the file.
    """
    names: dict[tuple[object, ...], str] = {}
    aliases: dict[str, str] = {}
    for name, tensor in state.items():
        same = (tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype, tensor.device)
        first = names.setdefault(same, name) if tensor.numel() else name
        if first != name:
            aliases[name] = first
    tensors = {
        name: tensor.detach().clone(memory_format=torch.contiguous_format)
        for name, tensor in state.items()
        if name not in aliases
    }
    write_atomically(path, save(tensors, metadata=aliases or None))


def check_file(path: Path) -> None:
    """Check that there is a file to read. Raises CheckpointError if it is missing or empty."""
    if not path.is_file():
        raise CheckpointError(f"{path}: found no such file, expected a file of weights; check the path")
    if path.stat().st_size == 0:
        raise CheckpointError(f"{path}: got an empty file, expected weights; copy it again")
