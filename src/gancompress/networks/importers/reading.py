"""Reading of a file's tensors by a layout."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from torch import Tensor, nn

from gancompress.errors import ConfigError
from gancompress.networks.architecture import Architecture, ClassArchitecture
from gancompress.networks.config import FamilyConfig
from gancompress.networks.family import FAMILIES, Family
from gancompress.networks.layout import Layout, dimension
from gancompress.networks.registry import family_of, layouts_of
from gancompress.networks.reparametrized import settled
from gancompress.networks.state import Mismatch, Shapes, shapes_of
from gancompress.registry import import_path_of


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
        state = settled(state, expected)
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


def module_architecture(network: nn.Module, arguments: Mapping[str, Any] | None = None) -> Architecture:
    """Return the architecture of a module at its widths: its family, or its class with the given arguments.

    Args:
        network: A network of a family, or of a class that records its arguments as ``hyperparameters``, as spandrel's.
        arguments: Arguments that the class was called with.

    Raises:
        ConfigError: They are not known.
    """
    kind = type(network)
    family, shapes = FAMILIES.of_network(kind), shapes_of(network)
    if family is not None and arguments is None:
        for layout in layouts_of([family]):
            architecture = family.architecture(_with_widths(layout.infer(shapes), shapes).model_dump())
            if shapes_of(architecture.skeleton()) == shapes:
                return architecture
    arguments = getattr(network, "hyperparameters", None) if arguments is None else arguments
    if not isinstance(arguments, Mapping):
        raise ConfigError(
            f"loadable: got a {kind.__qualname__} whose constructor arguments are not known, expected them, such as "
            "loadable={'num_feat': 64}"
        )
    return ClassArchitecture(import_path_of(kind), dict(arguments), network=kind)
