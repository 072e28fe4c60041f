"""Registry of families, open to other packages, and lookup of architectures by name.

A family of another package is one file: a configuration, a network, and `register_family` on the network. It is found
by its import path (``my_package.nets:MyNet``), or by its name once its module is imported or its package declares the
class as an entry point of this name in the group ``gancompress.families``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import packages_distributions
from typing import Any, TypeVar

from torch import nn

from gancompress.errors import ConfigError
from gancompress.networks.architecture import Architecture, ClassArchitecture
from gancompress.networks.config import FamilyConfig
from gancompress.networks.families import (
    cartoongan,
    multiscale,
    patchgan,
    resnet,
    rrdbnet,
    sngan_families,
    spade,
    srvggnet_compact,
    stylegan2_families,
    unet,
)
from gancompress.networks.family import FAMILIES, Family, Role
from gancompress.networks.image_format import STANDARD, Images
from gancompress.networks.layout import LAYOUTS, Layout
from gancompress.registry import import_object, import_path_of

Network = TypeVar("Network", bound=type[nn.Module])

for _module in (
    *(resnet, unet, cartoongan, rrdbnet, srvggnet_compact, sngan_families, stylegan2_families, spade),
    *(patchgan, multiscale),
):
    for _family in _module.FAMILIES:
        FAMILIES.add(_family)


@dataclass(frozen=True)
class UserClass:
    """A user's class that belongs to no family.

    Attributes:
        name: Its import path.
        network: The class.
    """

    name: str
    network: type[nn.Module]

    role: Role | None = None
    layouts: tuple[Layout, ...] = ()

    takes_task_options = False
    """Tasks set none of its arguments, because their meaning is not known."""

    def architecture(self, config: Mapping[str, Any], images: Images | None = None) -> ClassArchitecture:
        """Return the architecture with these keyword arguments, which are checked when it is built."""
        return ClassArchitecture(self.name, dict(config), images, network=self.network)


def register_family(
    name: str,
    config_type: type[FamilyConfig],
    *,
    preset: Mapping[str, Any] | None = None,
    role: Role = "generator",
    layouts: tuple[Layout, ...] = (),
    images: Images = STANDARD,
) -> Callable[[Network], Network]:
    """Decorate a network class to make it a family; several decorators give several presets.

    Args:
        name: Name of the family.
        config_type: Its configuration; the network's constructor takes one.
        preset: Options that the name fixes.
        role: Generator or discriminator.
        layouts: Layouts of its tensors in files.
        images: Formats of its images.

    Raises:
        ConfigError: The family of another class has this name.
    """

    def register(network: Network) -> Network:
        FAMILIES.add(Family(name, network, config_type, preset or {}, role, layouts, images))
        return network

    return register


def find_network(name: str) -> Family | UserClass:
    """Return the family of this name, or the class at this import path, with its family if it has one.

    Raises:
        ConfigError: There is no such network, and the message ends with the nearest name; or importing a class failed,
            or the object is no network.
    """
    if ":" not in name:
        return FAMILIES.find(name)
    found = import_object(name)
    if not isinstance(found, Family) and not (isinstance(found, type) and issubclass(found, nn.Module)):
        raise ConfigError(f"{name}: got a {type(found).__name__}, expected a subclass of torch.nn.Module")
    if not isinstance(found, Family) and FAMILIES.of_network(found) is None:
        return UserClass(name, found)
    return FAMILIES.find(name)


_OF_DATA = frozenset(
    {"gancompress.networks.graph:GraphNetwork", "gancompress.networks.importers.diffusers:AutoencoderPart"}
)
"""Classes of this package without a family that run a closed list of operators, or networks of diffusers."""

_BEGINNINGS = {"spandrel.architectures.": "spandrel", "diffusers:": "diffusers"}
"""Beginnings of the import paths of networks that importers read, and the package that must be installed for them."""


def is_known(path: str) -> bool:
    """Return whether a directory may name this class without consent.

    It may if the class has a family that is registered in this process, is one whose arguments are data alone, or is a
    network of spandrel or diffusers, which the importers read.
    """
    if path in _OF_DATA or any(import_path_of(family.network) == path for family in FAMILIES.values()):
        return True
    needed = next((package for start, package in _BEGINNINGS.items() if path.startswith(start)), None)
    return needed is not None and needed in packages_distributions()


def families_with(**options: Any) -> list[str]:
    """Return the names of the generators that accept these options."""

    def accepts(family: Family) -> bool:
        try:
            family.parse(options)
        except ConfigError:
            return False
        return family.role == "generator"

    return [family.name for family in FAMILIES.values() if accepts(family)]


def layouts_of(families: Iterable[Family]) -> tuple[Layout, ...]:
    """Return the layouts of families, and those that other packages add to them."""
    families = tuple(families)
    added = (each for each in LAYOUTS.values() if any(each.config_type is family.config_type for family in families))
    return tuple(dict.fromkeys((*(layout for family in families for layout in family.layouts), *added)))


def architecture_of(family: str, config: Mapping[str, Any], images: Images | None = None) -> Architecture:
    """Return the architecture of a family, or of a class by import path.

    Args:
        family: Name of a family, or ``package.module:Class``.
        config: The family's options, or the keyword arguments of the class.
        images: Formats of its images, to declare them.

    Raises:
        ConfigError: The family does not exist, or the config does not fit it.
    """
    return find_network(family).architecture(config, images)


def build(family: str, config: Mapping[str, Any]) -> nn.Module:
    """Build a network with fresh weights; arguments and errors as in `architecture_of`."""
    return architecture_of(family, config).build()


def family_of(config: FamilyConfig) -> Family:
    """Return the family with the most specific name that a configuration belongs to."""
    options = config.model_dump()
    return next(
        family
        for family in FAMILIES.values()
        if family.config_type is type(config) and family.preset.items() <= options.items()
    )
