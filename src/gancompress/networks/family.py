"""Families: networks of one class, with their configuration, file layouts and architecture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal, Self

import torch
from torch import Tensor, nn

from gancompress.channels import ChannelGraph, ChannelPlan, Slot
from gancompress.errors import ConfigError, PlanError
from gancompress.networks.architecture import Architecture
from gancompress.networks.config import FamilyConfig, LatentConfig
from gancompress.networks.config_strings import plan_string, widths_from_string
from gancompress.networks.example_values import example_values
from gancompress.networks.image_format import STANDARD, Images
from gancompress.networks.input_rule import InputRule
from gancompress.networks.layout import Layout
from gancompress.networks.unfilled import Unfilled
from gancompress.registry import Registry

Role = Literal["generator", "discriminator"]


@dataclass(frozen=True)
class Family:
    """A kind of network that recipes name in the field ``family``.

    Attributes:
        name: Its key in `FAMILIES`.
        network: Class of the network; its constructor takes a ``config_type``.
        config_type: Class of its configuration.
        preset: Options that the name fixes (nine blocks of ``resnet_9blocks``). They cannot be overridden: the families
            without a number in their name (``resnet``, ``unet``) leave them free.
        role: Generator or discriminator. A generator returns an image (StyleGAN2: about in its range), a discriminator
            logits.
        layouts: Layouts of its tensors in files; of several that fit equally well the first one counts.
        images: Formats of its images; formats other than [-1, 1], RGB, NCHW are converted at the network's boundary.
    """

    name: str
    network: type[nn.Module]
    config_type: type[FamilyConfig]
    preset: Mapping[str, Any] = field(default_factory=dict)
    role: Role = "generator"
    layouts: tuple[Layout, ...] = ()
    images: Images = STANDARD

    takes_task_options = True
    """A task may set its options, such as ``in_channels``."""

    def parse(self, config: Mapping[str, Any]) -> FamilyConfig:
        """Return the validated configuration, preset included.

        Raises:
            ConfigError: Options are unknown, of a wrong type or against the preset; all of them in one line.
        """
        against = [
            f"{option}: got {config[option]!r}, expected {value!r}, which the name fixes; "
            f"use {self._relatives_with(option, config[option])}"
            for option, value in self.preset.items()
            if config.get(option, value) != value
        ]
        try:
            parsed = self.config_type(**{**config, **self.preset})
        except ConfigError as error:
            raise ConfigError(f"{self.name}: {'; '.join([*against, str(error)])}") from None
        if against:
            raise ConfigError(f"{self.name}: {'; '.join(against)}")
        return parsed

    def _relatives_with(self, option: str, value: object) -> str:
        relatives = [family for family in FAMILIES.values() if family.config_type is self.config_type]
        return " or ".join(family.name for family in relatives if family.preset.get(option, value) == value)

    def architecture(self, config: Mapping[str, Any], images: Images | None = None) -> FamilyArchitecture:
        """Return the architecture with this configuration.

        Args:
            config: Options of the family.
            images: Formats of its images, if they differ from the family's.

        Raises:
            ConfigError: `parse` rejects the options.
        """
        parsed = self.parse(config)
        return FamilyArchitecture(self.name, parsed.model_dump(), images or self.images, family=self, parsed=parsed)

    def build(self, config: Mapping[str, Any]) -> nn.Module:
        """Build a network with fresh weights. Raises ConfigError as `parse`."""
        return self.architecture(config).build()


class FamilyRegistry(Registry[Family]):
    """Families by name, or by the import path of their network."""

    def find(self, name: object, where: str = "family") -> Family:
        """Return a family, named by the name or import path that found it. Raises ConfigError as `Registry.find`."""
        found = super().find(name, where)
        return found if found.name == name else replace(found, name=str(name))

    def check(self, path: str, found: Any) -> Family:
        """Return a family, or the one of a network class. Raises ConfigError for anything else."""
        family = found if isinstance(found, Family) else self.of_network(found)
        if family is None:
            got = f"{found.__name__}, a class without a family" if isinstance(found, type) else type(found).__name__
            raise ConfigError(f"{path}: got {got}, expected a family; decorate the class with register_family")
        return family

    def of_network(self, network: object) -> Family | None:
        """Return the family of a network class, the one without a preset if it has several; None if it has none."""
        own = [family for family in self._values.values() if family.network is network]
        return next((family for family in own if not family.preset), own[0] if own else None)

    def defining(self, value: Family) -> Any:
        """Return the network class."""
        return value.network

    def add(self, family: Family) -> None:
        """Add a family under its name.

        Raises:
            ConfigError: The family of another class has this name.
        """
        self._add(family.name, family)


FAMILIES = FamilyRegistry("families", "a known family or an import path 'package.module:Class'")
"""Every family by name; `gancompress.networks.registry` adds those of this package."""


@dataclass(frozen=True, eq=False)
class FamilyArchitecture(Architecture):
    """Architecture of a family at one configuration.

    Attributes:
        family: The family.
        parsed: The configuration.
    """

    may_fold: ClassVar[bool] = False

    family: Family = None  # type: ignore[assignment]  # always given; the fields before it have defaults
    parsed: FamilyConfig = None  # type: ignore[assignment]

    def _make(self) -> nn.Module:
        return self.family.network(self.parsed)

    def skeleton(self) -> nn.Module:
        """Build the network on the meta device, without allocating weights."""
        with torch.device("meta"), Unfilled():
            return self.build()

    def structure(self) -> nn.Module:
        """Return the network on the meta device."""
        return self.skeleton()

    def with_config(self, config: FamilyConfig) -> Self:
        """Return the same family at another configuration."""
        return replace(self, config=config.model_dump(), parsed=config)

    def narrowed(self, graph: ChannelGraph, plan: ChannelPlan) -> Self:
        """Return the architecture at the widths of a plan, without the blocks that it leaves out."""
        return self.shortened(plan).with_config(self.parsed.at_widths(plan.widths))

    @property
    def options(self) -> Mapping[str, Any]:
        """Options of the family by name."""
        return self.config

    def with_options(self, **options: Any) -> Self:
        """Return the same family with other options. Raises ConfigError if they do not fit."""
        return self.with_config(self.family.parse({**self.config, **options}))

    @property
    def width_arguments(self) -> Mapping[str, int]:
        """Options of the family that the original programs infer from a file, or take."""
        return {name: self.config[name] for name in self.parsed.loadable_widths}

    @property
    def depth_arguments(self) -> Mapping[str, int]:
        """Options of the family that are whole numbers."""
        return {name: value for name, value in self.config.items() if type(value) is int}

    def with_arguments(self, **arguments: int) -> Self:
        """Return the same family with other options, no widths of single groups, and all blocks."""
        return replace(self, left_out=()).with_options(**arguments, widths={})

    @property
    def input_rule(self) -> InputRule:
        """Rule of the inputs."""
        parsed = self.parsed
        return InputRule(parsed.in_channels, parsed.size_multiple, parsed.min_size, scale=parsed.output_scale)

    @property
    def is_latent(self) -> bool:
        """True for a generator that draws images from noise, at one size."""
        return isinstance(self.parsed, LatentConfig)

    def draw_latents(self, count: int, draw: torch.Generator) -> Tensor:
        """Draw noise and, for a generator with classes, a one-hot class: [count, latent_size + num_classes]."""
        if not isinstance(self.parsed, LatentConfig):
            return super().draw_latents(count, draw)
        return self.parsed.draw(count, draw)

    def example_inputs(
        self, size: tuple[int, int], shapes: Sequence[Sequence[int]] = (), device: torch.device | str = "cpu"
    ) -> tuple[Tensor, ...]:
        """Return one image [1, c, h, w], or noise [1, c] independent of the size, of fixed values in [-1, 1].

        Only latent generators accept shapes. Raises InputSizeError and ConfigError as the base class.
        """
        if shapes and self.is_latent:
            return super().example_inputs(size, shapes, device)
        if shapes:
            raise ConfigError(f"--input: {self.name} takes an image; say its size with --size HxW")
        self.check_size(size)
        return (example_values((1, *self.parsed.input_shape(size)), device=device),)

    def input_contract(self) -> dict[str, Any]:
        """Describe the inputs and the colour order of the images."""
        return {**self.parsed.input_contract(), "color_order": "RGB"}

    @property
    def distillation_taps(self) -> tuple[str, ...]:
        """Paths of the modules whose feature maps a student imitates."""
        return self.parsed.distillation_taps

    @property
    def image_taps(self) -> tuple[str, ...]:
        """Paths of the modules that return images at each resolution, from coarse to fine, the final image included."""
        return self.parsed.image_taps

    def plan_string(self) -> str | None:
        """Write its widths as a plan string of the literature; None if there is no form for them, or blocks lack."""
        return None if self.left_out else plan_string(self.parsed)

    def widths_from_string(self, text: str) -> dict[str, int]:
        """Read the width of every channel group from a plan string of the literature. Raises PlanError."""
        return widths_from_string(self.parsed, text)

    def search_slots(self) -> tuple[Slot, ...]:
        """Return the groups that the literature's search spaces tie to one another."""
        with suppress(PlanError):
            return self.parsed.slots("slots8")
        return ()

    def describe(self) -> dict[str, Any]:
        """Return the description that rebuilds it; formats of images only if they differ from the family's."""
        described = super().describe()
        if self.images == self.family.images:
            del described["images"]
        return described
