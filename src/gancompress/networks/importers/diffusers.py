"""Importer of folders that diffusers writes: ``config.json`` with the name of a class, and safetensors."""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from gancompress.errors import CheckpointError, ConfigError
from gancompress.networks.architecture import ClassArchitecture
from gancompress.networks.generator import Generator
from gancompress.networks.image_format import Images
from gancompress.networks.importers.registry import Importer, register_importer
from gancompress.networks.importers.source import Source
from gancompress.networks.importers.values import in_training_dtype
from gancompress.networks.input_rule import InputRule
from gancompress.networks.reparametrized import settled
from gancompress.networks.state import Mismatch, shapes_of
from gancompress.networks.weight_files import read_safetensors
from gancompress.networks.weight_values import check_values
from gancompress.registry import import_path_of

_CLASS = "_class_name"
PARTS = {"decoder": ("post_quant_conv", "decoder"), "encoder": ("encoder", "quant_conv")}
"""Modules that a part of an autoencoder runs, in order; those that it does not have are left out."""


class AutoencoderPart(nn.Module):
    """Encoder or decoder of an autoencoder of diffusers, under the names of its tensors there."""

    def __init__(self, class_name: str, part: str, config: Mapping[str, Any]) -> None:
        """Build the part.

        Args:
            class_name: Class of diffusers.
            part: A key of `PARTS`.
            config: Keyword arguments of the class.

        Raises:
            ConfigError: The class has no such part.
        """
        super().__init__()
        whole = _class(class_name)(**config)
        self.order = [name for name in PARTS[part] if getattr(whole, name, None) is not None]
        if part not in self.order:
            raise ConfigError(
                f"{class_name}: got the part '{part}', expected a class that has one; leave '#{part}' out"
            )
        for name in self.order:
            self.add_module(name, getattr(whole, name))

    def forward(self, value: Tensor) -> Tensor:
        """Map latents [b, c, h, w] to images in [-1, 1], or images to the moments of latents."""
        for name in self.order:
            value = self.get_submodule(name)(value)
        return value


class DiffusersFolder(Importer):
    """Folder of one network of diffusers; ``FOLDER#decoder`` and ``FOLDER#encoder`` are parts of an autoencoder."""

    def accepts(self, source: Source) -> bool:
        """Return whether the folder names a class of diffusers."""
        return _CLASS in _described(source.path)

    def files(self, path: Path) -> list[Path]:
        """Return the configuration and the weights."""
        return [path / "config.json", *sorted(path.glob("*.safetensors"))]

    def load(self, source: Source) -> Generator:
        """Load the network, or a part of it."""
        path, part = source.path, source.key
        if source.known is not None:
            raise CheckpointError(f"{path}: got a family for a folder of diffusers, which has its own; leave it out")
        if part not in (None, *PARTS):
            raise CheckpointError(f"{path}#{part}: got the part '{part}', expected one of {', '.join(PARTS)}")
        described = _described(path)
        name = str(described[_CLASS])
        config = {key: value for key, value in described.items() if not key.startswith("_")}
        state: dict[str, Tensor] = {}
        for file in self.files(path)[1:]:
            state |= {key: in_training_dtype(tensor) for key, tensor in read_safetensors(file).items()}
        if not state:
            raise CheckpointError(f"{path}: found no .safetensors file, expected the weights beside config.json")
        kind: type[nn.Module] = _class(name, path)
        images, rule = _contract(config, part)
        if part is None:
            architecture = ClassArchitecture(
                f"diffusers:{name}", config, source.images or images, {}, rule, network=kind
            )
        else:
            given = {"class_name": name, "part": part, "config": config}
            own = import_path_of(AutoencoderPart)
            architecture = ClassArchitecture(own, given, source.images or images, {}, rule, network=AutoencoderPart)
        return _filled(path, architecture, state, whole=part is None)


def _filled(path: Path, architecture: ClassArchitecture, state: dict[str, Tensor], whole: bool) -> Generator:
    network = architecture.build()
    expected = shapes_of(network)
    found = settled(state, expected)
    found = found if whole else {name: tensor for name, tensor in found.items() if name in expected}
    if mismatch := Mismatch.between(expected, shapes_of(found)):
        raise CheckpointError(f"{path}: got tensors that do not fit its config.json: {mismatch}; copy the folder again")
    check_values(path, found, network)
    return Generator(architecture, found)


def _contract(config: Mapping[str, Any], part: str | None) -> tuple[Images | None, InputRule]:
    """Return formats and rule of an autoencoder of images; of others only what the config states."""
    scale = 2 ** max(0, len(config.get("block_out_channels", ())) - 1)
    if part == "decoder":
        return Images.parse("unchanged to -1..1"), InputRule(config.get("latent_channels"), scale=scale)
    channels = config.get("in_channels")
    if part == "encoder":
        return Images.parse("-1..1 to unchanged"), InputRule(channels, scale, scale, scale=1 / scale)
    return None, InputRule(channels, scale, scale)


def _described(path: Path) -> dict[str, Any]:
    """Return the content of ``config.json``; empty if there is none that can be read."""
    try:
        described = json.loads((path / "config.json").read_bytes())
    except (OSError, ValueError):
        return {}
    return described if isinstance(described, dict) else {}


def _class(name: str, path: Path | str = "diffusers") -> Any:
    try:
        diffusers = importlib.import_module("diffusers")
        kind = getattr(diffusers, name, None)
    except ImportError as error:
        raise CheckpointError(
            f"{path}: a folder of diffusers needs that package (missing: {error.name or error}); pip install "
            "'gancompress[diffusers]'"
        ) from None
    if not (isinstance(kind, type) and issubclass(kind, nn.Module)):
        raise CheckpointError(
            f"{path}: got the class '{name}', expected a network of the installed diffusers; update it"
        )
    return kind


register_importer("diffusers")(DiffusersFolder())
