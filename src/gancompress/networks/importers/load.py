"""Loading of a `Generator` from a file of any known program."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from gancompress.errors import CheckpointError, ConfigError
from gancompress.networks.architecture import Architecture
from gancompress.networks.generator import Generator
from gancompress.networks.image_format import Images
from gancompress.networks.importers.reading import Reading
from gancompress.networks.registry import Family, all_families, find_network
from gancompress.networks.state import Mismatch, listed, shapes_of
from gancompress.networks.weight_files import read_safetensors, read_torch_file, without_prefixes


def load_generator(
    path: Path | str,
    family: str | None = None,
    config: Mapping[str, Any] | None = None,
    role: Literal["generator", "discriminator"] | None = None,
    images: Images | None = None,
) -> Generator:
    """Load a network from a directory or a file of weights. No code in a file is run.

    All floating-point tensors of a foreign file become float32, the type of training and measurement; a directory that
    this package saved is loaded unchanged.

    Args:
        path: A directory that `Generator.save` wrote, a ``.safetensors`` file, or a file written by ``torch.save``.
        family: Family of the file: a name in `FAMILIES` or the import path of a class. None infers it.
        config: The family's options or the class's arguments; needs ``family``. None infers it from the tensors.
        role: Network to take from a file that holds both; None takes the role of ``family``, or else the generator.
        images: Formats of its images, to declare them.

    Raises:
        CheckpointError: The file cannot be read, or fits no known family, or not the given one.
        ConfigError: The family does not exist, the config does not fit it, or a config is given without a family.
    """
    path = Path(path)
    if config is not None and family is None:
        raise ConfigError("config: got options without a family, expected both; name the family")
    if path.is_dir():
        return _load_directory(path, family, config, images)
    known = None if family is None else find_network(family)
    role = role or (known.role if known is not None else None)
    found = read_safetensors(path) if path.suffix == ".safetensors" else read_torch_file(path, role or "generator")
    tensors = {name: _in_training_dtype(tensor) for name, tensor in found.items()}
    if known is not None and not isinstance(known, Family):
        return _as_class(path, tensors, known.architecture(config or {}, images))
    reading = _best_reading(path, without_prefixes(tensors), known, config)
    if not reading.mismatch:
        return Generator(reading.family.architecture(reading.config.model_dump(), images), reading.state)
    if known is not None:
        what = f"{reading.family.name} with this config" if config is not None else reading.family.name
        raise CheckpointError(
            f"{path}: got tensors that do not fit {what}, as named by {reading.layout.name}: "
            f"{reading.mismatch}; give the family and config that the weights were trained with"
        )
    raise CheckpointError(
        f"{path}: got tensors that fit no known family; nearest is {reading.family.name}, as named by "
        f"{reading.layout.name}: {reading.mismatch}; give a class by import path with its config"
    )


def _load_directory(
    path: Path, family: str | None, config: Mapping[str, Any] | None, images: Images | None
) -> Generator:
    generator = Generator.load(path)
    if config is not None or family not in (None, generator.family):
        raise ConfigError(
            f"{path}: got a family or config for a directory that has its own "
            f"({generator.family}), expected none; leave them out"
        )
    return replace(generator, architecture=generator.architecture.with_images(images))


def _as_class(path: Path, tensors: Mapping[str, Tensor], architecture: Architecture) -> Generator:
    expected = shapes_of(architecture.build())
    # A user's class may have a submodule called "module".
    if Mismatch.between(expected, shapes_of(tensors)):
        tensors = without_prefixes(tensors)
    if mismatch := Mismatch.between(expected, shapes_of(tensors)):
        raise CheckpointError(
            f"{path}: got tensors that do not fit {architecture.name} with this config: {mismatch}; "
            "give the config that the weights were trained with"
        )
    return Generator(architecture, tensors)


def _best_reading(
    path: Path, tensors: Mapping[str, Tensor], known: Family | None, config: Mapping[str, Any] | None
) -> Reading:
    """Return the reading with the best agreement of names and shapes."""
    options = None if known is None or config is None else known.parse(config)
    families = all_families() if known is None else (known,)
    layouts = dict.fromkeys(layout for family in families for layout in family.layouts)
    if not layouts:
        raise CheckpointError(
            f"{path}: got a file for {', '.join(family.name for family in families)}, which has no layouts to read "
            "files by, expected a directory that this program saved; give the family layouts"
        )
    readings = [Reading.by(layout, tensors, known, options) for layout in layouts]
    best = max((reading for reading in readings if reading), key=lambda reading: reading.mismatch.agreement)
    if known is None and best.mismatch.num_matched == 0:
        raise CheckpointError(
            f"{path}: got tensors of no known family ({listed(list(tensors))}), expected one of "
            f"{', '.join(family.name for family in families)}; give a class by import path with its config"
        )
    return best


def _in_training_dtype(tensor: Tensor) -> Tensor:
    return tensor.detach().float() if tensor.is_floating_point() else tensor.detach()
