"""Generators as values: an architecture and a state dict."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn

from gancompress.errors import CheckpointError, ConfigError
from gancompress.io import DescribedFile, write_atomically
from gancompress.io.own_files import record_own
from gancompress.io.trust import Trust, importing_for
from gancompress.networks.architecture import Architecture, ModuleArchitecture
from gancompress.networks.branches import FoldedBlock
from gancompress.networks.image_format import Images
from gancompress.networks.input_rule import InputRule
from gancompress.networks.locality import Locality, measure_locality
from gancompress.networks.registry import architecture_of, is_known
from gancompress.networks.weight_files import read_safetensors, write_safetensors
from gancompress.networks.weight_values import check_values

WEIGHTS_FILE = "model.safetensors"
CONFIG_FILE = "config.json"
CONFIG = DescribedFile(
    "gancompress-generator",
    "Generator.save",
    # 2 declares formats of images, 3 blocks left out, 4 folded ones: programs of older versions would ignore them
    versions=(1, 2, 3, 4),
    types={"family": (str, type(None)), "config": dict, "resized": dict},
)
_VERSIONS = {"folded": 4, "left_out": 3, "images": 2}


@dataclass(frozen=True, eq=False)
class Generator:
    """A network as a value: its architecture and its weights. Training a network built from it does not change it.

    Attributes:
        architecture: Architecture at its widths.
        state: The state dict.
    """

    architecture: Architecture
    state: Mapping[str, Tensor]
    _localities: dict[int, Locality | None] = field(default_factory=dict, init=False, repr=False)

    @classmethod
    def from_module(
        cls,
        module: nn.Module,
        family: str | None = None,
        config: Mapping[str, Any] | None = None,
        images: Images | None = None,
    ) -> Self:
        """Return the generator of a network: a copy of its weights, with all options of its config written out.

        Args:
            module: The network.
            family: Name of its family, or ``package.module:Class``; None for a module whose class takes any arguments.
            config: The family's options, or the keyword arguments of the class.
            images: Formats of its images, to declare them.

        Raises:
            ConfigError: The family does not exist, or the config does not fit it.
        """
        if family is None:
            return cls(ModuleArchitecture.of(module, images), _copied(module))
        return cls(architecture_of(family, config or {}, images), _copied(module))

    @classmethod
    def of(cls, architecture: Architecture) -> Self:
        """Return a network of an architecture with fresh weights. Raises ConfigError if it cannot be built."""
        return cls(architecture, _copied(architecture.build()))

    @property
    def family(self) -> str:
        """Name of the family, import path of the class, or name of a module's class."""
        return self.architecture.name

    @property
    def config(self) -> Mapping[str, Any]:
        """Options of the family (narrow widths included), or keyword arguments of the class."""
        return self.architecture.config

    def with_state(self, state: Mapping[str, Tensor]) -> Self:
        """Return the same network with other weights."""
        return replace(self, state=state)

    def with_weights_of(self, module: nn.Module) -> Self:
        """Return the same network with a copy of a module's weights."""
        return self.with_state(_copied(module))

    def build(self) -> nn.Module:
        """Build the network with a copy of these weights, in its own dtype, on the CPU, in evaluation mode.

        It takes and returns images in [-1, 1], RGB, NCHW, independent of the formats inside its architecture.

        Raises:
            ConfigError: The family does not exist, or the config does not fit it.
            CheckpointError: The state dict does not fit the network.
        """
        return self.architecture.build_with(self.state)

    def build_on_weights(self) -> nn.Module:
        """Build the network on these weights themselves, for who writes into none. Raises as `build`."""
        return self.architecture.build_on(self.state)

    def skeleton(self) -> nn.Module:
        """Build the network for its structure alone; on the meta device if its constructor allows that.

        Raises:
            ConfigError: The family does not exist, or the config does not fit it.
            CheckpointError: The state dict does not fit the network.
        """
        return self.architecture.skeleton_with(self.state)

    def locality(self, channels: int) -> Locality | None:
        """Measure the locality of the network once; see `gancompress.networks.locality.measure_locality`.

        Args:
            channels: Number of channels of its input.
        """
        if channels not in self._localities:
            network = self.build_on_weights().float()
            self._localities[channels] = measure_locality(network, channels, self.architecture.input_rule)
        return self._localities[channels]

    def fresh(self, seed: int) -> Self:
        """Return the same network with fresh weights.

        Args:
            seed: Seed of the weights, which are drawn from torch's global generator.
        """
        torch.manual_seed(seed)
        wide = self.architecture.build().state_dict()
        state = {name: wide[name][tuple(map(slice, tensor.shape))].clone() for name, tensor in self.state.items()}
        return self.with_state(state)

    @property
    def num_parameters(self) -> int:
        """Number of parameters, tied ones counted once; buffers are not parameters."""
        return sum(parameter.numel() for parameter in self.skeleton().parameters())

    def save(self, directory: Path | str) -> None:
        """Write ``model.safetensors`` and ``config.json``; the directory is created if it does not exist.

        Raises:
            ConfigError: The config cannot be written as JSON.
            CheckpointError: The state dict does not fit the config; nothing is written.
        """
        described = self.architecture.describe()
        fields = {
            **described,
            "num_parameters": self.num_parameters,
            "input": self.architecture.input_contract() or None,
        }
        try:
            version = next((number for name, number in _VERSIONS.items() if name in described), 1)
            text = CONFIG.text(fields, version=version)
        except TypeError as error:
            raise ConfigError(f"{self.family}: the config cannot be saved: {error}; use plain values") from None
        directory = Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        write_safetensors(directory / WEIGHTS_FILE, self.state)
        write_atomically(directory / CONFIG_FILE, text.encode())
        if ":" in self.family:
            record_own(directory / CONFIG_FILE, self.family)

    @classmethod
    def load(cls, directory: Path | str, module: nn.Module | None = None, *, trust: Trust = False) -> Self:
        """Load a generator that `save` wrote.

        Args:
            directory: The directory.
            module: For a network that was saved without a family: a module of the same class and arguments as the
                original, at full width.
            trust: Consent to import and build the class that the directory names, if it is no registered family: True,
                or the import paths of the classes that are expected.

        Raises:
            TrustError: The directory names such a class, without consent. Nothing was imported.
            CheckpointError: The directory lacks a file, a file was not written by `save`, it needs a module, or a
                weight is infinite, not a number, or no floating-point number.
            ConfigError: The family does not exist, or the config does not fit it.
        """
        directory = Path(directory)
        for file in (CONFIG_FILE, WEIGHTS_FILE):
            if not (directory / file).is_file():
                raise CheckpointError(
                    f"{directory}: found no {file}, expected a directory with {CONFIG_FILE} and "
                    f"{WEIGHTS_FILE}; to read a file of weights, give its path"
                )
        description = CONFIG.read(directory / CONFIG_FILE)
        images = Images.from_description(description["images"]) if "images" in description else None
        resized = {
            path: {name: tuple(value) if isinstance(value, list) else value for name, value in attributes.items()}
            for path, attributes in description["resized"].items()
        }
        if description["family"] is not None:
            with importing_for(directory / CONFIG_FILE, is_known(description["family"]) or trust):
                architecture = architecture_of(description["family"], description["config"], images)
        elif module is not None:
            architecture = ModuleArchitecture.of(module, images)
        else:
            raise CheckpointError(
                f"{directory}: got weights of a module of {description.get('class', 'an unknown class')}, expected "
                "that module to read them into; call Generator.load(directory, module) with the module at full width"
            )
        rule = InputRule.from_description(description["takes"]) if "takes" in description else None
        left_out = tuple(description.get("left_out", ()))
        folded = {path: FoldedBlock.from_description(each) for path, each in description.get("folded", {}).items()}
        read = {"resized": resized, "declared_inputs": rule, "left_out": left_out, "folded": folded}
        architecture = replace(architecture, **read)
        state = read_safetensors(directory / WEIGHTS_FILE)
        check_values(directory / WEIGHTS_FILE, state, architecture.structure())
        return cls(architecture, state)


def _copied(module: nn.Module) -> dict[str, Tensor]:
    # One deep copy of all tensors together keeps tied ones tied.
    return copy.deepcopy(dict(module.state_dict()))
