"""What a layout is: how a program names the tensors of a network in its files."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, nn

from gancompress.models.config import FamilyConfig
from gancompress.models.families import Family, family_of
from gancompress.models.generator import skeleton
from gancompress.models.state import Mismatch, Shapes, shapes_of
from gancompress.models.stylegan2 import ConstantInput

_RUNNING_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
_LEAVES = ("weight", "bias", *_RUNNING_STATISTICS)


@dataclass(frozen=True)
class Layout:
    """How one program names the tensors of one kind of network.

    Attributes:
        name: Whose layout it is, as a message says it.
        config_type: Configuration of the networks that it holds.
        names: From the names in a file to a table "name in the file -> our name" of all tensors that a
            network of the depth seen in them can have; empty when the names are not of this layout.
        infer: From the shapes under our names to the structure of the network; widths are worked out
            afterwards. It never fails: what a file does not tell keeps its default, and the comparison that
            follows complains.
        prepare: What to do with the tensors of a file before they are read, under the names of the file.
    """

    name: str
    config_type: type[FamilyConfig]
    names: Callable[[Collection[str]], Mapping[str, str]]
    infer: Callable[[Shapes], FamilyConfig]
    prepare: Callable[[Mapping[str, Tensor]], Mapping[str, Tensor]] = dict


@dataclass(frozen=True)
class Reading:
    """The tensors of a file, read by one layout.

    Attributes:
        layout: The layout.
        family: The family that they are read as.
        config: Its configuration.
        state: The tensors under our names.
        mismatch: How they differ from what the network needs, under the names of the file.
    """

    layout: Layout
    family: Family
    config: FamilyConfig
    state: Mapping[str, Tensor]
    mismatch: Mismatch

    @classmethod
    def by(
        cls,
        layout: Layout,
        tensors: Mapping[str, Tensor],
        family: Family | None = None,
        config: FamilyConfig | None = None,
    ) -> Self | None:
        """Reads tensors by a layout, as the family and config given or else as those that the tensors tell.

        Returns:
            None when the names are not of this layout.
        """
        tensors = layout.prepare(tensors)
        our_names = layout.names(tensors.keys())
        if not our_names:
            return None
        state = {our_names.get(name, name): tensor for name, tensor in tensors.items()}
        if config is None:
            config = _with_widths(_structure(layout, shapes_of(state), family), shapes_of(state))
        family = family or family_of(config)
        expected = shapes_of(skeleton(family.name, config.model_dump()))
        state = _settle_statistics(state, expected)
        file_names = {ours: name for name, ours in our_names.items()}
        mismatch = Mismatch.between(
            {file_names.get(name, name): shape for name, shape in expected.items()},
            {file_names.get(name, name): shape for name, shape in shapes_of(state).items()},
        )
        return cls(layout, family, config, state, mismatch)


def own_names(names: Collection[str]) -> dict[str, str]:
    """The table of this package's own layouts: every name stays as it is."""
    return {name: name for name in names}


def tensor_names(modules: Mapping[str, str]) -> dict[str, str]:
    """A table of tensors from a table of modules, "path in the file -> our path"."""
    return {f"{theirs}.{leaf}": f"{ours}.{leaf}" for theirs, ours in modules.items() for leaf in _LEAVES}


def dimension(shapes: Shapes, name: str, axis: int, default: int) -> int:
    """One dimension of a convolution's weight, or the default where there is no such weight."""
    shape = shapes.get(name, ())
    return max(1, shape[axis]) if len(shape) == 4 else default


def num_indexed(names: Collection[str], prefix: str) -> int:
    """How many different numbers follow a prefix such as ``blocks.``; at least 1."""
    rests = (name.removeprefix(prefix) for name in names if name.startswith(prefix))
    return max(1, len({rest.partition(".")[0] for rest in rests}))


def _structure(layout: Layout, shapes: Shapes, family: Family | None) -> FamilyConfig:
    config = layout.infer(shapes)
    return family.parse({**config.model_dump(), **family.preset}) if family else config


def _with_widths(config: FamilyConfig, shapes: Shapes) -> FamilyConfig:
    """The config at the widths that the convolutions in the file have."""
    network = skeleton(family_of(config).name, config.model_dump())
    widths = {}
    for group, default in config.default_widths().items():
        axis = 1 if isinstance(network.get_submodule(group), nn.ConvTranspose2d | ConstantInput) else 0
        name = f"{group}.weight"
        spectrally_normed = f"{group}.parametrizations.weight.original"
        widths[group] = dimension(shapes, name if name in shapes else spectrally_normed, axis, default)
        layer = network.get_submodule(group)
        if isinstance(layer, nn.Linear) and name in shapes:  # makes a map: a channel is as many features in both
            widths[group] = max(1, default * shapes[name][0] // layer.out_features)
    return config.at_widths(widths)


def _settle_statistics(state: Mapping[str, Tensor], expected: Shapes) -> dict[str, Tensor]:
    """Drops the unused statistics that instance norms once had, and adds the counters that batch norms once lacked."""
    counters = {
        name: torch.tensor(0)
        for name in expected
        if name.endswith("num_batches_tracked") and f"{name.rpartition('.')[0]}.running_mean" in state
    }
    stale = {name for name in state if name.endswith(_RUNNING_STATISTICS) and name not in expected}
    return counters | {name: tensor for name, tensor in state.items() if name not in stale}
