"""Layouts: the names that one program gives the tensors of a network in its files."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from torch import Tensor

from gancompress.networks.config import FamilyConfig
from gancompress.networks.state import Shapes

RUNNING_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
_LEAVES = ("weight", "bias", *RUNNING_STATISTICS)


@dataclass(frozen=True)
class Layout:
    """Names that one program gives the tensors of one kind of network.

    Attributes:
        name: Name of the program in messages.
        names: Function from the names in a file to a table "name in the file -> our name" of all tensors that a network
            of the depth seen in them can have; empty if the names are not of this layout.
        infer: Function from the shapes under our names to the structure of the network; widths are determined
            afterwards. It never fails: properties that the file does not determine keep their default, and the
            comparison that follows reports mismatches.
        prepare: Function that converts the tensors of a file, under the names of the file, before they are read.
    """

    name: str
    names: Callable[[Collection[str]], Mapping[str, str]]
    infer: Callable[[Shapes], FamilyConfig]
    prepare: Callable[[Mapping[str, Tensor]], Mapping[str, Tensor]] = dict


def own_names(names: Collection[str]) -> dict[str, str]:
    """Return the table of this package's own layouts: every name is unchanged."""
    return {name: name for name in names}


def tensor_names(modules: Mapping[str, str]) -> dict[str, str]:
    """Return a table of tensors from a table of modules, "path in the file -> our path"."""
    return {f"{theirs}.{leaf}": f"{ours}.{leaf}" for theirs, ours in modules.items() for leaf in _LEAVES}


def dimension(shapes: Shapes, name: str, axis: int, default: int) -> int:
    """Return one dimension of a convolution's weight, or the default if there is no such weight."""
    shape = shapes.get(name, ())
    return max(1, shape[axis]) if len(shape) == 4 else default


def num_indexed(names: Collection[str], prefix: str) -> int:
    """Count the different numbers that follow a prefix such as ``blocks.``; at least 1."""
    rests = (name.removeprefix(prefix) for name in names if name.startswith(prefix))
    return max(1, len({rest.partition(".")[0] for rest in rests}))
