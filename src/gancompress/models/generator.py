"""A generator as a value: a family with its configuration, and a state dict."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn

from gancompress.channels.skeleton import set_attributes, set_tensor
from gancompress.errors import CheckpointError, ConfigError
from gancompress.models.families import build, find_family
from gancompress.models.import_path import is_import_path
from gancompress.models.state import Mismatch, shapes_of
from gancompress.models.weight_files import read_safetensors, write_atomically, write_safetensors

WEIGHTS_FILE = "model.safetensors"
CONFIG_FILE = "config.json"
FORMAT = "gancompress-generator"
FORMAT_VERSION = 1


@dataclass(frozen=True, eq=False)
class Generator:
    """A network as data: what rebuilds it, and its weights. Training a network built from it changes nothing here.

    Attributes:
        family: A name in `FAMILIES`, or the import path ``package.module:Class`` of a `torch.nn.Module`.
        config: The family's options (the narrow widths among them), or the keyword arguments of the class.
        state: The state dict.
        resized: For a class from an import path that was narrowed: which attributes of which of its modules
            changed, as ``{"body.conv": {"out_channels": 24}}``. Its parameters then have the shapes of ``state``.
    """

    family: str
    config: Mapping[str, Any]
    state: Mapping[str, Tensor]
    resized: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @classmethod
    def from_module(
        cls,
        module: nn.Module,
        family: str,
        config: Mapping[str, Any],
        resized: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> Self:
        """The value of a network: a copy of its weights, with all options of its config written out.

        Raises:
            ConfigError: The family does not exist, or the config does not fit it.
        """
        if not is_import_path(family):
            config = find_family(family).parse(config).model_dump()
        # One deep copy of all tensors together keeps tied ones tied.
        return cls(family, config, copy.deepcopy(dict(module.state_dict())), resized or {})

    def build(self) -> nn.Module:
        """The network with a copy of these weights, in the network's own dtype, on the CPU, in evaluation mode.

        Raises:
            ConfigError: The family does not exist, or the config does not fit it.
            CheckpointError: The state dict, or ``resized``, does not fit the network.
        """
        network = skeleton(self.family, self.config)
        if self.resized:
            _resize(network, self.resized, self.state)
        if mismatch := Mismatch.between(shapes_of(network), shapes_of(self.state)):
            raise CheckpointError(f"{self.family}: the weights do not fit the config: {mismatch}")
        if not is_import_path(self.family):
            network.to_empty(device="cpu")
        network.load_state_dict(self.state)
        return network.eval()

    def fresh(self, seed: int) -> Self:
        """The same network with fresh weights.

        Args:
            seed: Of the weights, which are drawn from torch's global generator.
        """
        torch.manual_seed(seed)
        wide = build(self.family, self.config).state_dict()
        state = {name: wide[name][tuple(map(slice, tensor.shape))].clone() for name, tensor in self.state.items()}
        return type(self)(self.family, self.config, state, self.resized)

    @property
    def num_parameters(self) -> int:
        """Number of parameters, tied ones counted once; buffers are not parameters."""
        return sum(parameter.numel() for parameter in self.build().parameters())

    def save(self, directory: Path | str) -> None:
        """Writes ``model.safetensors`` and ``config.json``; the directory is made when it does not exist.

        Raises:
            ConfigError: The config cannot be written as JSON.
            CheckpointError: The state dict does not fit the config; nothing is written then.
        """
        description = {
            "format": FORMAT,
            "version": FORMAT_VERSION,
            "family": self.family,
            "config": dict(self.config),
            "resized": {path: dict(attributes) for path, attributes in self.resized.items()},
            "num_parameters": self.num_parameters,
            "input": None if is_import_path(self.family) else find_family(self.family).input_contract(self.config),
        }
        try:
            text = json.dumps(description, indent=2)
        except TypeError as error:
            raise ConfigError(f"{self.family}: the config cannot be saved: {error}; use plain values") from None
        directory = Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        write_safetensors(directory / WEIGHTS_FILE, self.state)
        write_atomically(directory / CONFIG_FILE, f"{text}\n".encode())

    @classmethod
    def load(cls, directory: Path | str) -> Self:
        """Reads what `save` wrote.

        Raises:
            CheckpointError: The directory lacks a file, or a file is not what `save` writes.
        """
        directory = Path(directory)
        for file in (CONFIG_FILE, WEIGHTS_FILE):
            if not (directory / file).is_file():
                raise CheckpointError(
                    f"{directory}: found no {file}, expected a directory with {CONFIG_FILE} and "
                    f"{WEIGHTS_FILE}; to read a file of weights, give its path"
                )
        description = _read_description(directory / CONFIG_FILE)
        resized = {
            path: {name: tuple(value) if isinstance(value, list) else value for name, value in attributes.items()}
            for path, attributes in description["resized"].items()
        }
        state = read_safetensors(directory / WEIGHTS_FILE)
        return cls(description["family"], description["config"], state, resized)


def skeleton(family: str, config: Mapping[str, Any]) -> nn.Module:
    """A network whose weights are still to come.

    This package's families are built on the meta device, which costs nothing. A class from an import path is built
    normally: it may compute buffers in its constructor that no state dict holds.
    """
    if is_import_path(family):
        return build(family, config)
    with torch.device("meta"):
        return build(family, config)


def _resize(network: nn.Module, resized: Mapping[str, Mapping[str, Any]], state: Mapping[str, Tensor]) -> None:
    """Set the narrow sizes as attributes, and put empty tensors of the state's shapes in place; tied ones stay tied."""
    try:
        set_attributes(network, resized)
    except AttributeError as error:
        raise CheckpointError(f"resized: {error}; expected modules and attributes of the network") from None
    replacements: dict[int, Tensor] = {}
    for name, old in (
        *network.named_parameters(remove_duplicate=False),
        *network.named_buffers(remove_duplicate=False),
    ):
        if name in state and state[name].shape != old.shape:
            new = replacements.get(id(old), old.detach().new_empty(state[name].shape))
            replacements[id(old)] = set_tensor(network, name, new)


def _read_description(path: Path) -> dict[str, Any]:
    try:
        description = json.loads(path.read_bytes())
    except ValueError as error:
        raise CheckpointError(f"{path}: got invalid JSON ({error}), expected a generator's config") from None
    if not isinstance(description, dict) or description.get("format") != FORMAT:
        raise CheckpointError(f'{path}: found no \'"format": "{FORMAT}"\', expected a file written by this program')
    if description.get("version") != FORMAT_VERSION:
        raise CheckpointError(
            f"{path}: got format version {description.get('version')}, expected {FORMAT_VERSION}; update gancompress"
        )
    expected = {"family": str, "config": dict, "resized": dict}
    wrong = [f"'{key}'" for key, kind in expected.items() if not isinstance(description.get(key), kind)]
    if wrong:
        raise CheckpointError(f"{path}: {', '.join(wrong)} missing or of a wrong type, expected what save() wrote")
    return description
