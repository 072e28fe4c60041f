"""Registry of families, open to other packages, and lookup of architectures by name.

A family of another package is one file: a configuration, a network, and `register_family` on the network. It is found
by its import path (``my_package.nets:MyNet``), or by its name once its package is imported or declares the file as an
entry point of the group ``gancompress.families``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import entry_points
from typing import Any, TypeVar

from torch import nn

from gancompress.errors import ConfigError, nearest
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
    stylegan2_families,
    unet,
)
from gancompress.networks.family import FAMILIES, Family, Role
from gancompress.networks.image_format import STANDARD, Images
from gancompress.networks.layout import Layout
from gancompress.registry import import_object

ENTRY_POINTS = "gancompress.families"
"""Group of the entry points of other packages: each names a module or object whose import registers families."""

Network = TypeVar("Network", bound=type[nn.Module])

for _module in (resnet, unet, cartoongan, rrdbnet, sngan_families, stylegan2_families, spade, patchgan, multiscale):
    FAMILIES.update({family.name: family for family in _module.FAMILIES})


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
        ConfigError: Another class has this name already.
    """

    def register(network: Network) -> Network:
        known = FAMILIES.get(name)
        if known is not None and _path_of(known.network) != _path_of(network):
            raise ConfigError(
                f"family: got '{name}' for {_path_of(network)}, but {_path_of(known.network)} has that name; "
                "take another one"
            )
        FAMILIES[name] = Family(name, network, config_type, preset or {}, role, layouts, images)
        return network

    return register


def find_family(name: str) -> Family:
    """Return the family of this name, or of the class at this import path.

    Raises:
        ConfigError: `find_network` fails, or the class belongs to no family.
    """
    found = find_network(name)
    if not isinstance(found, Family):
        raise ConfigError(f"family: got '{name}', a class without a family, expected one of {', '.join(FAMILIES)}")
    return found


def find_network(name: str) -> Family | UserClass:
    """Return the family of this name, or the class at this import path, with its family if it has one.

    Raises:
        ConfigError: There is no such network, and the message ends with the nearest name; or importing a class failed,
            or the object is no network.
    """
    if ":" in name:
        return _imported(name)
    if name not in FAMILIES:
        _load_entry_points()
    if name not in FAMILIES:
        raise ConfigError(
            f"family: got '{name}', expected a known one or an import path 'package.module:Class'; "
            f"{nearest(name, FAMILIES)}"
        )
    return FAMILIES[name]


def all_families() -> tuple[Family, ...]:
    """Return every family, including those of other packages' entry points."""
    _load_entry_points()
    return tuple(FAMILIES.values())


def families_with(**options: Any) -> list[str]:
    """Return the names of the generators that accept these options."""

    def accepts(family: Family) -> bool:
        try:
            family.parse(options)
        except ConfigError:
            return False
        return family.role == "generator"

    return [family.name for family in all_families() if accepts(family)]


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


def _imported(path: str) -> Family | UserClass:
    """Return the family of a registered class, named by its import path; or a class without a family."""
    found = import_object(path)
    if isinstance(found, Family):
        return replace(found, name=path)
    if not (isinstance(found, type) and issubclass(found, nn.Module)):
        raise ConfigError(f"{path}: got a {type(found).__name__}, expected a subclass of torch.nn.Module")
    own = [family for family in FAMILIES.values() if family.network is found]
    plain = [family for family in own if not family.preset] or own
    return replace(plain[0], name=path) if plain else UserClass(path, found)


@cache
def _load_entry_points() -> None:
    for entry in entry_points(group=ENTRY_POINTS):
        try:
            found = entry.load()
        except Exception as error:
            raise ConfigError(
                f"{ENTRY_POINTS}: importing the entry point '{entry.name}' ({entry.value}) failed: "
                f"{type(error).__name__}: {error}; mend or uninstall the package that names it"
            ) from error
        if isinstance(found, Family):
            FAMILIES.setdefault(found.name, found)


def _path_of(network: type) -> str:
    return f"{network.__module__}:{network.__qualname__}"
