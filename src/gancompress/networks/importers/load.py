"""Loading of a `Generator` from a source of any known kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from gancompress.errors import CheckpointError, ConfigError
from gancompress.io.source import split_key
from gancompress.io.trust import Trust
from gancompress.networks.generator import Generator
from gancompress.networks.image_format import Images
from gancompress.networks.importers.registry import IMPORTERS
from gancompress.networks.importers.source import CLOSE, Source, Unrecognized
from gancompress.networks.registry import find_network


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
    """Load a network from a directory or file by the first importer that recognises it.

    No code in a file is run without consent.

    A class takes every file that its ``load_state_dict(strict=True)`` takes. All floating-point tensors of a foreign
    file become float32, the type of training and measurement; a directory that this package saved is loaded unchanged.

    Args:
        path: A directory that `Generator.save` wrote, or a source that one of `IMPORTERS` reads; ``PATH#KEY`` for one
            of several networks in it. Without a key the first that fits is taken, by the order of
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
    known = None if family is None else find_network(family)
    wanted = role or (known.role if known is not None else None) or "generator"
    source = Source(path, key, known, config, wanted, images, say, trust)
    refused: list[Unrecognized] = []
    for importer in sorted(IMPORTERS.values(), key=lambda each: each.takes_any_file):
        if importer.accepts(source):
            try:
                return importer.load(source)
            except Unrecognized as error:
                refused.append(error)
    nearest = max(refused, key=lambda error: error.agreement)
    hints = {} if nearest.agreement > CLOSE else dict.fromkeys(error.hint for error in refused if error.hint)
    raise CheckpointError("; ".join((str(nearest), *hints)))
