"""Saving of a narrow network of any class: its weights, sizes and depth, to be loaded into the original network."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import nn

from gancompress.channels import leave_out, left_out_of
from gancompress.channels.skeleton import copy_structure, named_tensors, set_attributes, set_tensor
from gancompress.errors import CheckpointError
from gancompress.io import DescribedFile
from gancompress.networks.branches import FoldedBlock, folded_of, replace_blocks
from gancompress.networks.weight_files import read_safetensors, write_safetensors
from gancompress.networks.weight_values import check_values
from gancompress.quantization import quantized_layers

WEIGHTS_FILE = "model.safetensors"
SIZES_FILE = "plan.json"
SIZES = DescribedFile("gancompress-module", "gancompress.save", versions=(1, 2, 3), types={"sizes": dict})


def save(network: nn.Module, directory: Path | str) -> str:
    """Write the weights of a network, the sizes of its layers, and the blocks that were left out of it or folded.

    The class needs no registration: the files are loaded into the network that the saved one was made from.

    Args:
        network: Any module, narrow or not, in float.
        directory: Directory for ``model.safetensors`` and ``plan.json``; created if it does not exist.

    Returns:
        One line of Python that loads them.

    Raises:
        CheckpointError: The network is quantized.
    """
    if quantized_layers(network):
        raise CheckpointError(
            f"{directory}: got a quantized network, expected a float one; save it before quantize, or export it"
        )
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    tensors = named_tensors(network)
    how = f'network = gancompress.load_into(original, "{directory}")'
    fields = {
        "class": f"{type(network).__module__}.{type(network).__qualname__}",
        "read_back": how,
        "num_parameters": sum(parameter.numel() for parameter in network.parameters()),
        "sizes": _sizes(network),
    }
    blocks = {
        "left_out": list(left_out_of(network)),
        "folded": {path: asdict(each) for path, each in folded_of(network).items()},
    }
    version = 3 if blocks["folded"] else 2 if blocks["left_out"] else 1  # older programs would ignore such blocks
    write_safetensors(directory / WEIGHTS_FILE, tensors)
    SIZES.write(directory / SIZES_FILE, fields | {name: each for name, each in blocks.items() if each}, version=version)
    return how


def load_into(original: nn.Module, directory: Path | str) -> nn.Module:
    """Load a network that `save` wrote.

    Args:
        original: The network that the saved one was made from, such as a new instance of its class; it is not changed.
        directory: The directory.

    Returns:
        A copy of the original with the saved sizes and weights, in evaluation mode.

    Raises:
        CheckpointError: The directory lacks a file, a file was not written by `save`, or the original is another
            network.
    """
    directory = Path(directory)
    fields = _read_fields(directory / SIZES_FILE)
    folded = {path: FoldedBlock.from_description(each) for path, each in fields.get("folded", {}).items()}
    state = read_safetensors(directory / WEIGHTS_FILE)
    try:
        original = leave_out(replace_blocks(copy_structure(original), folded), fields.get("left_out", ()))
    except AttributeError as error:
        raise CheckpointError(f"{directory}: {error}; expected the network that the saved one was made from") from None
    check_values(directory / WEIGHTS_FILE, state, original)
    own = named_tensors(original)
    if own.keys() != state.keys():
        differing = sorted(own.keys() ^ state.keys())[0]
        there = "the file" if differing in state else "the network"
        raise CheckpointError(
            f"{directory}: '{differing}' is only in {there}, expected the network that the saved one was made from "
            "(the same class and arguments)"
        )
    try:
        network = copy_structure(original, {name: tensor.detach().clone() for name, tensor in own.items()})
        for name, tensor in own.items():
            made = set_tensor(
                network, name, nn.Parameter(state[name]) if isinstance(tensor, nn.Parameter) else state[name]
            )
            made.requires_grad_(tensor.requires_grad)
        set_attributes(network, _differing(network, fields["sizes"]))
    except AttributeError as error:
        raise CheckpointError(f"{directory}: {error}; expected the network that the saved one was made from") from None
    return network.eval()


def _sizes(network: nn.Module) -> dict[str, dict[str, Any]]:
    """Return all integer attributes of modules, and all tuples of integers, by path."""
    found = {
        path: {name: value for name, value in vars(module).items() if _is_size(value)}
        for path, module in network.named_modules()
    }
    return {path: values for path, values in found.items() if values}


def _is_size(value: Any) -> bool:
    return type(value) is int or (isinstance(value, tuple) and bool(value) and all(type(each) is int for each in value))


def _differing(network: nn.Module, sizes: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the saved sizes that differ from those of a network."""
    changes: dict[str, dict[str, Any]] = {}
    for path, values in sizes.items():
        module = network.get_submodule(path)
        for name, value in values.items():
            value = tuple(value) if isinstance(value, list) else value
            if getattr(module, name) != value:
                changes.setdefault(path, {})[name] = value
    return changes


def _read_fields(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise CheckpointError(
            f"{path.parent}: found no {path.name}, expected a directory written by gancompress.save; gancompress.load "
            "reads the other kinds"
        )
    return SIZES.read(path)
