"""The registry: every network this package can build, by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn

from gancompress.errors import ConfigError, InputSizeError, nearest
from gancompress.models.cartoongan import CartoonGanConfig, CartoonGanGenerator
from gancompress.models.config import FamilyConfig
from gancompress.models.example_values import example_values
from gancompress.models.import_path import build_network, is_import_path
from gancompress.models.multiscale import MultiscalePatchGan, MultiscalePatchGanConfig
from gancompress.models.patchgan import PatchGan, PatchGanConfig, PixelGan, PixelGanConfig
from gancompress.models.resnet import ResnetConfig, ResnetGenerator
from gancompress.models.rrdbnet import RrdbNet, RrdbNetConfig
from gancompress.models.sngan import SnganConfig, SnganGenerator
from gancompress.models.sngan_discriminator import SnganDiscriminator, SnganDiscriminatorConfig
from gancompress.models.spade import SpadeConfig, SpadeGenerator
from gancompress.models.stylegan2 import StyleGan2Config, StyleGan2Generator
from gancompress.models.stylegan2_discriminator import StyleGan2Discriminator, StyleGan2DiscriminatorConfig
from gancompress.models.unet import UnetConfig, UnetGenerator


@dataclass(frozen=True)
class Family:
    """A network architecture by the name the field gives it. Its images are [-1, 1], RGB, NCHW.

    Attributes:
        name: Its key in `FAMILIES`.
        network: Class of the network; its constructor takes a ``config_type``.
        config_type: Class of its configuration.
        preset: Options that the name fixes (nine blocks of ``resnet_9blocks``). They cannot be set to
            something else: the families without a number in their name (``resnet``, ``unet``) leave them
            free.
        role: What it is in a GAN. A generator returns an image in [-1, 1] (StyleGAN2: about that), a
            discriminator logits.
    """

    name: str
    network: type[nn.Module]
    config_type: type[FamilyConfig]
    preset: Mapping[str, Any] = field(default_factory=dict)
    role: Literal["generator", "discriminator"] = "generator"

    def parse(self, config: Mapping[str, Any]) -> FamilyConfig:
        """The validated configuration, preset included.

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

    def build(self, config: Mapping[str, Any]) -> nn.Module:
        """A network with fresh weights. Raises ConfigError as `parse`."""
        return self.network(self.parse(config))

    def size_multiple(self, config: Mapping[str, Any]) -> int:
        """Height and width of an image must be divisible by this, in pixels."""
        return self.parse(config).size_multiple

    def example_inputs(
        self, config: Mapping[str, Any], size: tuple[int, int], device: torch.device | str = "cpu"
    ) -> tuple[Tensor]:
        """What the network's ``forward`` takes: one image [1, c, h, w], or latent [1, c], of fixed values in [-1, 1].

        Args:
            config: The configuration.
            size: Height and width of the image in pixels; a generator from noise does not look at it.
            device: Where to make it; "meta" where only the shape matters.

        Raises:
            InputSizeError: The network cannot take this size.
        """
        check_size(self.name, config, size)
        return (example_values((1, *self.parse(config).input_shape(size)), device=device),)

    def input_contract(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """What an input must be like, and the colour order of the images, as it is written next to the weights."""
        return {**self.parse(config).input_contract(), "color_order": "RGB"}


FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        Family("resnet_6blocks", ResnetGenerator, ResnetConfig, {"num_blocks": 6, "separable": False}),
        Family("resnet_9blocks", ResnetGenerator, ResnetConfig, {"num_blocks": 9, "separable": False}),
        Family("mobile_resnet_6blocks", ResnetGenerator, ResnetConfig, {"num_blocks": 6, "separable": True}),
        Family("mobile_resnet_9blocks", ResnetGenerator, ResnetConfig, {"num_blocks": 9, "separable": True}),
        Family("resnet", ResnetGenerator, ResnetConfig),
        Family("unet_128", UnetGenerator, UnetConfig, {"num_downs": 7}),
        Family("unet_256", UnetGenerator, UnetConfig, {"num_downs": 8}),
        Family("unet", UnetGenerator, UnetConfig),
        Family("cartoongan", CartoonGanGenerator, CartoonGanConfig),
        Family("rrdbnet", RrdbNet, RrdbNetConfig),
        Family("sngan_32", SnganGenerator, SnganConfig, {"num_blocks": 3, "halving": False, "bottom_size": 4}),
        Family("sngan_64", SnganGenerator, SnganConfig, {"num_blocks": 4, "halving": True, "bottom_size": 4}),
        Family("sngan", SnganGenerator, SnganConfig),
        Family("stylegan2", StyleGan2Generator, StyleGan2Config),
        Family("spade", SpadeGenerator, SpadeConfig, {"separable": False}),
        Family("mobile_spade", SpadeGenerator, SpadeConfig, {"separable": True}),
        Family("patchgan", PatchGan, PatchGanConfig, role="discriminator"),
        Family("pixelgan", PixelGan, PixelGanConfig, role="discriminator"),
        Family("multiscale_patchgan", MultiscalePatchGan, MultiscalePatchGanConfig, role="discriminator"),
        Family("sngan_discriminator", SnganDiscriminator, SnganDiscriminatorConfig, role="discriminator"),
        Family("stylegan2_discriminator", StyleGan2Discriminator, StyleGan2DiscriminatorConfig, role="discriminator"),
    )
}


def find_family(name: str) -> Family:
    """The family of this name.

    Raises:
        ConfigError: There is none; the message ends with the nearest name.
    """
    if name not in FAMILIES:
        raise ConfigError(
            f"family: got '{name}', expected a known one or an import path 'package.module:Class'; "
            f"{nearest(name, FAMILIES)}"
        )
    return FAMILIES[name]


def family_of(config: FamilyConfig) -> Family:
    """The family with the most specific name that a configuration belongs to."""
    options = config.model_dump()
    return next(
        family
        for family in FAMILIES.values()
        if family.config_type is type(config) and family.preset.items() <= options.items()
    )


def build(family: str, config: Mapping[str, Any]) -> nn.Module:
    """A network with fresh weights.

    Args:
        family: A name in `FAMILIES`, or the import path ``package.module:Class`` of a `torch.nn.Module`.
        config: The family's options, or the keyword arguments of the class.

    Raises:
        ConfigError: The family does not exist, or the config does not fit it.
    """
    if is_import_path(family):
        return build_network(family, config)
    return find_family(family).build(config)


def check_size(family: str, config: Mapping[str, Any], size: tuple[int, int]) -> None:
    """Refuses an image size that the network cannot take; any size passes for a network from an import path.

    Args:
        family: As in `build`.
        config: As in `build`.
        size: Height and width in pixels.

    Raises:
        InputSizeError: A side is not divisible by the family's size multiple, or is too small.
    """
    if is_import_path(family):
        return
    parsed = find_family(family).parse(config)
    multiple, smallest = parsed.size_multiple, parsed.min_size
    if all(side >= smallest and side % multiple == 0 for side in size):
        return
    fitting = [max(smallest, multiple * round(side / multiple)) for side in size]
    divisible = f"divisible by {multiple} and " if multiple > 1 else ""
    raise InputSizeError(
        f"{family}: got an image of {size[0]}x{size[1]} (height x width), expected "
        f"both {divisible}at least {smallest} px; resize it, for example to {fitting[0]}x{fitting[1]}"
    )
