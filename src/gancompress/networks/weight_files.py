"""Reading and writing of weight files, without running code in them."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from gancompress.errors import CheckpointError
from gancompress.io import write_atomically
from gancompress.networks.state import listed

# Keys under which training programs store the generator, by priority: averaged weights, a generator, then the rest.
WRAPPERS = (
    *("g_ema", "G_ema", "netG_ema", "generator_ema", "params_ema", "model_ema", "state_dict_ema", "ema"),
    *(
        "avg_gen_state_dict",
        "g",
        "netG",
        "netG_A",
        "netG_A2B",
        "G",
        "G_A",
        "generator",
        "gen",
        "gen_state_dict",
        "net_g",
    ),
    *("netG_B", "netG_B2A", "G_B"),
    *("params", "state_dict", "model_state_dict", "model", "network", "net", "weights", "module"),
)

# Keys under which they store the discriminator.
DISCRIMINATOR_WRAPPERS = ("d", "D", "netD", "netD_A", "discriminator", "dis", "dis_state_dict", "net_d", "params_d")

_NVIDIA_MODULES = (b"dnnlib", b"torch_utils.persistence", b"torch_utils\npersistence")


def read_torch_file(path: Path, role: Literal["generator", "discriminator"] = "generator") -> dict[str, Tensor]:
    """Return the tensors of one network in a file written by ``torch.save``, by name.

    Wrappers around the state dict are opened (`WRAPPERS`, for a discriminator `DISCRIMINATOR_WRAPPERS` first). Only
    tensors and plain containers are read; no code in the file is run.

    Raises:
        CheckpointError: The file is missing, empty or damaged, or holds objects of other kinds, or no tensors.
    """
    wrappers = WRAPPERS if role == "generator" else (*DISCRIMINATOR_WRAPPERS, *WRAPPERS)
    return _find_tensors(_unpickle(path), path, wrappers)


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """Return the tensors in a safetensors file, by name; names that were saved as tied share one tensor.

    Raises:
        CheckpointError: The file is missing, empty or damaged, or holds no tensors.
    """
    _check_file(path)
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


def without_prefixes(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the state dict without the prefixes of data parallelism and ``torch.compile``."""
    state = {name.replace("_orig_mod.", ""): tensor for name, tensor in state.items()}
    while all(name.startswith("module.") for name in state):
        state = {name.removeprefix("module."): tensor for name, tensor in state.items()}
    return state


def _check_file(path: Path) -> None:
    if not path.is_file():
        raise CheckpointError(f"{path}: found no such file, expected a file of weights; check the path")
    if path.stat().st_size == 0:
        raise CheckpointError(f"{path}: got an empty file, expected weights; copy it again")


def _unpickle(path: Path) -> object:
    _check_file(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        # A damaged file fails in any way, from EOFError to UnicodeDecodeError.
        reason = str(error)
        if _is_nvidia_pickle(path):
            raise CheckpointError(
                f"{path}: got a pickle of NVIDIA's StyleGAN2, which holds Python code, expected tensors only; none of "
                "it was run; convert it once with convert_weight.py of rosinality/stylegan2-pytorch, and give the .pt "
                "file that it writes"
            ) from None
        if foreign := re.search(r"GLOBAL (\S+)", reason):
            raise CheckpointError(
                f"{path}: got a pickle with code or objects in it ({foreign[1]}), expected tensors only; "
                "none of it was run; save the network's state_dict() instead"
            ) from None
        if "TorchScript" in reason:
            raise CheckpointError(
                f"{path}: got a TorchScript program, expected tensors; save the network's state_dict() instead"
            ) from None
        raise CheckpointError(
            f"{path}: got something that torch cannot read ({type(error).__name__}), "
            "expected a file written by torch.save; it may be cut off or of another kind: copy it again"
        ) from None


def _is_nvidia_pickle(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(2**16)
    return head.startswith(b"\x80") and any(module in head for module in _NVIDIA_MODULES)


def _find_tensors(content: Any, path: Path, wrappers: tuple[str, ...]) -> dict[str, Tensor]:
    opened: set[int] = set()  # a crafted file can hold a dictionary that contains itself
    while isinstance(content, Mapping) and id(content) not in opened:
        opened.add(id(content))
        wrapper = next((key for key in wrappers if isinstance(content.get(key), Mapping)), None)
        if wrapper is None:
            tensors = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
            if tensors:
                return tensors
            keys = listed([str(key) for key in content]) or "no keys"
            raise CheckpointError(
                f"{path}: got a dictionary without tensors ({keys}), expected a state dict, alone or "
                f"under one of {', '.join(WRAPPERS)}; save the network's state_dict() instead"
            )
        content = content[wrapper]
    raise CheckpointError(
        f"{path}: got a {type(content).__name__}, expected a state dict of tensors; "
        "save the network's state_dict() instead"
    )
