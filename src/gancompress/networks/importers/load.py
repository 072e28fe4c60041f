"""Loading of a `Generator` from a file of any known program."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any, Literal

from torch import Tensor, nn

from gancompress.errors import CheckpointError, ConfigError
from gancompress.io.source import split_key
from gancompress.io.trust import Trust
from gancompress.networks.architecture import Architecture
from gancompress.networks.checkpoint_file import Candidate, CheckpointFile
from gancompress.networks.generator import Generator
from gancompress.networks.image_format import Images
from gancompress.networks.importers.reading import Reading
from gancompress.networks.registry import FAMILIES, Family, find_network, layouts_of
from gancompress.networks.reparametrized import settled
from gancompress.networks.state import Mismatch, listed, shapes_of
from gancompress.networks.weight_values import check_values

_FEWEST_TENSORS = 8
"""Number of tensors below which a part of a state dict, such as one layer, is not taken for a network of a family."""


_CLOSE = 0.5
"""Share of matching tensors above which a network is the wanted one with faults, so that no part of it is tried."""


class _Unfit(CheckpointError):
    """A network of the file that is not the one wanted; `agreement` is the share of tensors that are."""

    def __init__(self, message: str, agreement: float) -> None:
        super().__init__(message)
        self.agreement = agreement


def load_generator(
    path: Path | str,
    family: str | None = None,
    config: Mapping[str, Any] | None = None,
    role: Literal["generator", "discriminator"] | None = None,
    images: Images | None = None,
    say: Callable[[str], None] | None = None,
    *,
    trust: Trust = False,
) -> Generator:
    """Load a network from a directory or a file of weights. No code in a file is run without consent.

    A class takes every file that its ``load_state_dict(strict=True)`` takes. All floating-point tensors of a foreign
    file become float32, the type of training and measurement; a directory that this package saved is loaded unchanged.

    Args:
        path: A directory that `Generator.save` wrote, a ``.safetensors`` file, or a file written by ``torch.save``;
            ``FILE#KEY`` for one of several networks in it. Without a key the first that fits is taken, by the order of
            `gancompress.networks.checkpoint_file.GENERATOR_KEYS`.
        family: Family of the file: a name in `FAMILIES` or the import path of a class. None infers it.
        config: The family's options or the class's arguments; needs ``family``. None infers it from the tensors.
        role: Network to take from a file that holds both; None takes the role of ``family``, or else the generator.
        images: Formats of its images, to declare them.
        say: Prints a line about what else the file holds.
        trust: Consent to build the class that a directory names; a class in ``family`` is named by the caller.

    Raises:
        TrustError: A directory names a class that is no registered family, without consent.
        CheckpointError: The file cannot be read, or fits no known family, or not the given one; it has several networks
            that fit; or a weight is infinite, not a number, or no floating-point number.
        ConfigError: The family does not exist, the config does not fit it, or a config is given without a family.
    """
    path, key = split_key(path)
    if config is not None and family is None:
        raise ConfigError("config: got options without a family, expected both; name the family")
    if path.is_dir():
        if key is not None:
            raise CheckpointError(
                f"{path}#{key}: got a key for a directory, which holds one network; leave '#{key}' out"
            )
        return _load_directory(path, family, config, images, trust)
    known = None if family is None else find_network(family)
    role = role or (known.role if known is not None else None) or "generator"
    file = CheckpointFile.open(path)

    def read(candidate: Candidate) -> Generator:
        if known is not None and not isinstance(known, Family):
            return _as_class(candidate, known.architecture(config or {}, images))
        return _as_family(candidate, known, config, images)

    candidate, generator = _first_that_fits(file, file.candidates(role, key), role, read)
    line = file.summary(candidate)
    if say is not None and line is not None:
        say(line)
    return generator


def _load_directory(
    path: Path, family: str | None, config: Mapping[str, Any] | None, images: Images | None, trust: Trust
) -> Generator:
    named = () if family is None else (family,)
    generator = Generator.load(path, trust=trust if trust is True else (*(trust or ()), *named))
    if config is not None or family not in (None, generator.family):
        raise ConfigError(
            f"{path}: got a family or config for a directory that has its own "
            f"({generator.family}), expected none; leave them out"
        )
    return replace(generator, architecture=generator.architecture.with_images(images))


def _first_that_fits(
    file: CheckpointFile,
    candidates: list[Candidate],
    role: Literal["generator", "discriminator"],
    read: Callable[[Candidate], Generator],
) -> tuple[Candidate, Generator]:
    """Return the network of the highest rank that can be read; of those of one rank only one may be.

    Raises:
        CheckpointError: None can be read; the message is of the one that comes closest. Or several of one rank can.
    """
    unfit: list[_Unfit] = []
    for _, equals in groupby(candidates, key=lambda each: each.rank(role)):
        fitting: dict[str, tuple[Candidate, Generator]] = {}
        close = any(error.agreement > _CLOSE for error in unfit)
        for candidate in equals:
            if candidate.key not in fitting and not (close and candidate.prefix):
                try:
                    fitting[candidate.key] = candidate, read(candidate)
                except _Unfit as error:
                    unfit.append(error)
        if len(fitting) > 1:
            raise CheckpointError(
                f"{file.path}: got {len(fitting)} networks that fit ({', '.join(fitting)}), expected one; choose it by "
                f"{file.path.name}#{next(iter(fitting))}"
            )
        if fitting:
            return next(iter(fitting.values()))
    raise CheckpointError(str(max(unfit, key=lambda error: error.agreement)))


def _as_family(
    candidate: Candidate, known: Family | None, config: Mapping[str, Any] | None, images: Images | None
) -> Generator:
    path = candidate.file.path
    if candidate.prefix and len(candidate.stored) < _FEWEST_TENSORS:
        raise _Unfit(f"{path}: got too few tensors under '{candidate.key}', expected a network of a family", -1.0)
    tensors = {name: _in_training_dtype(tensor) for name, tensor in candidate.tensors().items()}
    reading = _best_reading(path, tensors, known, config)
    if not reading.mismatch:
        architecture = reading.family.architecture(reading.config.model_dump(), images)
        check_values(path, reading.state, architecture.skeleton())
        return Generator(architecture, reading.state)
    agreement = reading.mismatch.agreement
    if known is not None:
        what = f"{reading.family.name} with this config" if config is not None else reading.family.name
        raise _Unfit(
            f"{path}: got tensors that do not fit {what}, as named by {reading.layout.name}: "
            f"{reading.mismatch}; give the family and config that the weights were trained with",
            agreement,
        )
    raise _Unfit(
        f"{path}: got tensors that fit no known family; nearest is {reading.family.name}, as named by "
        f"{reading.layout.name}: {reading.mismatch}; give a class by import path with its config",
        agreement,
    )


def _as_class(candidate: Candidate, architecture: Architecture) -> Generator:
    """Load the tensors as PyTorch does, hooks of the class included; then with the names that it expects."""
    path, network = candidate.file.path, architecture.build()
    expected = network.state_dict()
    if abs(len(candidate.stored) - len(expected)) > max(len(candidate.stored), len(expected)) / 2:
        raise _unfit_class(candidate, architecture, Mismatch.between(shapes_of(expected), candidate.shapes))
    tensors = candidate.tensors()
    as_expected = settled(tensors, expected)
    if _loads(network, tensors, candidate.metadata) or _loads(network, as_expected):
        given = {**expected, **as_expected, **tensors}
        check_values(path, {name: given[name] for name in expected}, network)
        state = {name: tensor.detach() for name, tensor in network.state_dict().items()}
        return Generator(architecture, {name: _in_training_dtype(tensor) for name, tensor in state.items()})
    raise _unfit_class(candidate, architecture, Mismatch.between(shapes_of(expected), shapes_of(as_expected)))


def _loads(network: nn.Module, tensors: Mapping[str, Tensor], metadata: Mapping[str, Any] | None = None) -> bool:
    """Load tensors into a network, and return whether it takes all of them and needs no others."""
    state = OrderedDict(tensors)
    if metadata:
        state._metadata = metadata  # type: ignore[attr-defined]
    try:
        network.load_state_dict(state)
    except (RuntimeError, KeyError, AttributeError, TypeError, ValueError):  # a hook of the class may raise any of them
        return False
    return True


def _unfit_class(candidate: Candidate, architecture: Architecture, mismatch: Mismatch) -> _Unfit:
    return _Unfit(
        f"{candidate.file.path}: got tensors that do not fit {architecture.name} with this config: {mismatch}; "
        "give the config that the weights were trained with",
        mismatch.agreement,
    )


def _best_reading(
    path: Path, tensors: Mapping[str, Tensor], known: Family | None, config: Mapping[str, Any] | None
) -> Reading:
    """Return the reading with the best agreement of names and shapes."""
    options = None if known is None or config is None else known.parse(config)
    families = tuple(FAMILIES.values()) if known is None else (known,)
    layouts = layouts_of(families)
    if not layouts:
        raise CheckpointError(
            f"{path}: got a file for {', '.join(family.name for family in families)}, which has no layouts to read "
            "files by, expected a directory that this program saved; give the family layouts"
        )
    readings = [Reading.by(layout, tensors, known, options) for layout in layouts]
    best = max((reading for reading in readings if reading), key=lambda reading: reading.mismatch.agreement)
    if known is None and best.mismatch.num_matched == 0:
        raise _Unfit(
            f"{path}: got tensors of no known family ({listed(list(tensors))}), expected one of "
            f"{', '.join(family.name for family in families)}; give a class by import path with its config",
            0.0,
        )
    return best


def _in_training_dtype(tensor: Tensor) -> Tensor:
    return tensor.detach().float() if tensor.is_floating_point() and tensor.dtype.itemsize > 1 else tensor.detach()
