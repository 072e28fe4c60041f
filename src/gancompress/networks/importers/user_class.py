"""Importer of weights into a user's class, given by import path."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from gancompress.networks.architecture import Architecture
from gancompress.networks.checkpoint_file import Candidate
from gancompress.networks.generator import Generator
from gancompress.networks.importers.choice import first_that_fits
from gancompress.networks.importers.registry import Importer, register_importer
from gancompress.networks.importers.source import Source, Unrecognized
from gancompress.networks.importers.values import in_training_dtype
from gancompress.networks.registry import UserClass
from gancompress.networks.reparametrized import settled
from gancompress.networks.state import Mismatch, shapes_of
from gancompress.networks.weight_values import check_values


class ClassWeights(Importer):
    """Weights of a given class."""

    takes_any_file = True

    def accepts(self, source: Source) -> bool:
        """Return whether a class is given."""
        return isinstance(source.known, UserClass)

    def load(self, source: Source) -> Generator:
        """Load the first network of the file that the class takes."""
        assert source.known is not None
        architecture = source.known.architecture(source.config or {}, source.images)
        return first_that_fits(source, lambda candidate: _read(candidate, architecture))


def _read(candidate: Candidate, architecture: Architecture) -> Generator:
    """Load the tensors as PyTorch does, hooks of the class included; then with the names that it expects."""
    path, network = candidate.file.path, architecture.build()
    expected = network.state_dict()
    if abs(len(candidate.stored) - len(expected)) > max(len(candidate.stored), len(expected)) / 2:
        raise _unfit(candidate, architecture, Mismatch.between(shapes_of(expected), candidate.shapes))
    tensors = candidate.tensors()
    as_expected = settled(tensors, expected)
    if _loads(network, tensors, candidate.metadata) or _loads(network, as_expected):
        given = {**expected, **as_expected, **tensors}
        check_values(path, {name: given[name] for name in expected}, network)
        state = {name: tensor.detach() for name, tensor in network.state_dict().items()}
        return Generator(architecture, {name: in_training_dtype(tensor) for name, tensor in state.items()})
    raise _unfit(candidate, architecture, Mismatch.between(shapes_of(expected), shapes_of(as_expected)))


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


def _unfit(candidate: Candidate, architecture: Architecture, mismatch: Mismatch) -> Unrecognized:
    return Unrecognized(
        f"{candidate.file.path}: got tensors that do not fit {architecture.name} with this config: {mismatch}; "
        "give the config that the weights were trained with",
        mismatch.agreement,
    )


register_importer("class")(ClassWeights())
