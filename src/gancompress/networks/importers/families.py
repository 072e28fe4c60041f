"""Importer of weights into the families, recognised by the names and shapes of the tensors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from gancompress.errors import CheckpointError
from gancompress.networks.checkpoint_file import Candidate
from gancompress.networks.generator import Generator
from gancompress.networks.importers.choice import first_that_fits
from gancompress.networks.importers.reading import Reading
from gancompress.networks.importers.registry import Importer, register_importer
from gancompress.networks.importers.source import Source, Unrecognized
from gancompress.networks.importers.values import in_training_dtype
from gancompress.networks.registry import FAMILIES, Family, UserClass, layouts_of
from gancompress.networks.state import listed
from gancompress.networks.weight_values import check_values

_FEWEST_TENSORS = 8
"""Number of tensors below which a part of a state dict, such as one layer, is not taken for a network of a family."""


class FamilyWeights(Importer):
    """Weights of a family: the given one, or the one whose tensors the file has."""

    takes_any_file = True

    def accepts(self, source: Source) -> bool:
        """Return whether no class without a family is given."""
        return not isinstance(source.known, UserClass)

    def load(self, source: Source) -> Generator:
        """Load the first network of the file that fits."""
        return first_that_fits(source, lambda candidate: _read(candidate, source))


def _read(candidate: Candidate, source: Source) -> Generator:
    path, known = candidate.file.path, source.known
    assert not isinstance(known, UserClass)
    if candidate.prefix and len(candidate.stored) < _FEWEST_TENSORS:
        raise Unrecognized(f"{path}: got too few tensors under '{candidate.key}', expected a network of a family")
    tensors = {name: in_training_dtype(tensor) for name, tensor in candidate.tensors().items()}
    reading = _best_reading(path, tensors, known, source)
    if not reading.mismatch:
        architecture = reading.family.architecture(reading.config.model_dump(), source.images)
        check_values(path, reading.state, architecture.skeleton())
        return Generator(architecture, reading.state)
    agreement = reading.mismatch.agreement
    if known is not None:
        what = f"{reading.family.name} with this config" if source.config is not None else reading.family.name
        raise Unrecognized(
            f"{path}: got tensors that do not fit {what}, as named by {reading.layout.name}: "
            f"{reading.mismatch}; give the family and config that the weights were trained with",
            agreement,
        )
    raise Unrecognized(
        f"{path}: got tensors that fit no known family; nearest is {reading.family.name}, as named by "
        f"{reading.layout.name}: {reading.mismatch}; give a class by import path with its config",
        agreement,
    )


def _best_reading(path: Path, tensors: Mapping[str, Tensor], known: Family | None, source: Source) -> Reading:
    """Return the reading with the best agreement of names and shapes."""
    options = None if known is None or source.config is None else known.parse(source.config)
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
        raise Unrecognized(
            f"{path}: got tensors of no known family ({listed(list(tensors))}), expected one of "
            f"{', '.join(family.name for family in families)}; give a class by import path with its config",
            0.0,
        )
    return best


register_importer("families")(FamilyWeights())
