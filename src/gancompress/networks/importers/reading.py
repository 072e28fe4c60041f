"""Reading of a file's tensors by a layout."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, nn

from gancompress.networks.config import FamilyConfig
from gancompress.networks.family import Family
from gancompress.networks.layout import RUNNING_STATISTICS, Layout, dimension
from gancompress.networks.registry import family_of
from gancompress.networks.state import Mismatch, Shapes, shapes_of


@dataclass(frozen=True)
class Reading:
    """The tensors of a file, read by one layout.

    Attributes:
        layout: The layout.
        family: The family that they are read as.
        config: Its configuration.
        state: The tensors under our names.
        mismatch: Difference from the tensors that the network needs, under the names of the file.
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
        """Read tensors by a layout, as the given family and config, or else as those inferred from the tensors.

        Returns:
            The reading; None if the names are not of this layout.
        """
        tensors = layout.prepare(tensors)
        our_names = layout.names(tensors.keys())
        if not our_names:
            return None
        state = {our_names.get(name, name): tensor for name, tensor in tensors.items()}
        if config is None:
            config = _with_widths(_structure(layout, shapes_of(state), family), shapes_of(state))
        family = family or family_of(config)
        expected = shapes_of(family.architecture(config.model_dump()).skeleton())
        state = _settle_statistics(state, expected)
        file_names = {ours: name for name, ours in our_names.items()}
        mismatch = Mismatch.between(
            {file_names.get(name, name): shape for name, shape in expected.items()},
            {file_names.get(name, name): shape for name, shape in shapes_of(state).items()},
        )
        return cls(layout, family, config, state, mismatch)


def _structure(layout: Layout, shapes: Shapes, family: Family | None) -> FamilyConfig:
    config = layout.infer(shapes)
    return family.parse({**config.model_dump(), **family.preset}) if family else config


def _with_widths(config: FamilyConfig, shapes: Shapes) -> FamilyConfig:
    """Return the config at the widths of the convolutions in the file."""
    network = family_of(config).architecture(config.model_dump()).skeleton()
    widths = {}
    for group, default in config.default_widths().items():
        layer = network.get_submodule(group)
        axis = getattr(layer, "channel_axis", 1 if isinstance(layer, nn.ConvTranspose2d) else 0)
        name = f"{group}.weight"
        spectrally_normed = f"{group}.parametrizations.weight.original"
        widths[group] = dimension(shapes, name if name in shapes else spectrally_normed, axis, default)
        if isinstance(layer, nn.Linear) and name in shapes:  # each channel has as many features in both
            widths[group] = max(1, default * shapes[name][0] // layer.out_features)
    return config.at_widths(widths)


def _settle_statistics(state: Mapping[str, Tensor], expected: Shapes) -> dict[str, Tensor]:
    """Drop the unused statistics of older instance norms, and add the counters that older batch norms lack."""
    counters = {
        name: torch.tensor(0)
        for name in expected
        if name.endswith("num_batches_tracked") and f"{name.rpartition('.')[0]}.running_mean" in state
    }
    stale = {name for name in state if name.endswith(RUNNING_STATISTICS) and name not in expected}
    return counters | {name: tensor for name, tensor in state.items() if name not in stale}
