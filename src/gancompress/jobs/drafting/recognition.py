"""Recognition of a network: channels, scale, sizes and range of its images, by running it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from fractions import Fraction

import torch
from torch import Tensor, nn

from gancompress.channels.skeleton import copy_module
from gancompress.errors import ConfigError
from gancompress.jobs.drafting.outputs import comparable_output
from gancompress.networks.generator import Generator
from gancompress.networks.image_format import COMMON_RANGES, ImageFormat, Images, fitting_ranges, measured_images
from gancompress.networks.outputs import image_of, tensors_of

_CHANNELS = (3, 1, 4, 2)
"""Numbers of channels that are tried, those of pictures."""
_SIDES = (64, 128, 256, 96, 224, 48, 512)
"""Sides of images that are tried, in pixels."""
_STEPS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 64)
_BEYOND = 0.6
"""Distance from [-1, 1] beyond which values of an image count as out of range."""
_FEW = 0.05
"""Share of such values that is accepted."""
_FLAT = 0.01
"""Standard deviation of images of [-1, 1] below which they show nothing, less than two levels of 8 bits."""


@dataclass(frozen=True)
class Recognised:
    """A network as far as a recipe depends on it.

    Attributes:
        name: Family, or class.
        parameters: Number of parameters.
        channels: Channels of the input image.
        out_channels: Channels of the output image.
        scale: Side of the output image by that of the input image.
        multiple: Divisor of the sides of the input, in pixels.
        fixed_side: The only side that the network takes, if it takes only one.
        images: Formats of its images.
        range_from: Origin of the range: "declared", "given", or words that say how it was measured.
    """

    name: str
    parameters: int
    channels: int
    out_channels: int
    scale: Fraction = Fraction(1)
    multiple: int = 1
    fixed_side: int | None = None
    images: Images | None = None
    range_from: str = "declared"

    def lines(self) -> list[str]:
        """Describe the network, for the user."""
        size = {True: "", False: f", {float(self.scale):g} times the size"}[self.scale == 1]
        sides = "any size" if self.multiple == 1 else f"sides divisible by {self.multiple}"
        if self.fixed_side is not None:
            sides = f"{self.fixed_side}x{self.fixed_side} only"
        values = f"{self.images}, {self.range_from}" if self.images is not None else "-1..1, not declared"
        return [
            f"network: {self.name}, {self.parameters:,} parameters",
            f"  {self.channels} channels to {self.out_channels}{size}; {sides}; range {values}",
        ]


def recognise(generator: Generator) -> Recognised:
    """Find the channels, the scale and the sizes of a network of one image by running it without values.

    Raises:
        ConfigError: It draws images from noise, or takes no image of 1 to 4 channels.
    """
    architecture = generator.architecture
    if architecture.is_latent:
        raise ConfigError(
            f"{generator.family}: got a generator that draws images from noise, expected one of images; write a recipe "
            "with task latent, see docs/how-to/latent.md"
        )
    probe = _Probe(generator.build())
    known = architecture.in_channels
    found = probe.first(_CHANNELS if known is None else (known,), architecture.size_multiple)
    if found is None:
        raise ConfigError(
            f"{generator.family}: got an error for images of {_listed(_CHANNELS if known is None else (known,))} "
            f"channels ({probe.error}), expected a network of one image; name the class and its arguments with --net "
            "and --set, or write a recipe"
        )
    channels, side, output = found
    scale = Fraction(output[2], side)
    multiple = probe.multiple(channels, side, scale, architecture.size_multiple)
    return Recognised(
        name=generator.family,
        parameters=generator.num_parameters,
        channels=channels,
        out_channels=output[1],
        scale=scale,
        multiple=multiple or side,
        fixed_side=side if multiple is None else None,
        images=architecture.images,
    )


@torch.no_grad()
def with_range(
    network: Recognised, generator: Generator, given: str | None, crops: Tensor
) -> tuple[Recognised, Tensor]:
    """Return a network with the range of its images: given, declared by its family, or measured on crops; and outputs.

    Args:
        network: The network.
        generator: Its weights.
        given: Range that the user gives.
        crops: Images [b, c, h, w] in [-1, 1], as large as the network takes them.

    Raises:
        ConfigError: The images of the network cannot be compared, are not finite, flat, or far outside the range.
    """
    images, source = generator.architecture.images, "declared" if given is None else "given"
    made = comparable_output(generator.build(), crops, network.name)
    if images is None and network.channels == network.out_channels:
        images, source = _measured(generator.build(), crops)
        made = image_of(replace(generator, architecture=generator.architecture.with_images(images)).build()(crops))
    where = f"{network.name}: range {images or '-1..1'} ({source})"
    if not made.isfinite().all():
        raise ConfigError(f"{where}: got images that are not finite, expected finite ones; check the weights")
    if float(made.std()) < _FLAT:
        raise ConfigError(
            f"{where}: got images of hardly more than one value, {float(made.mean()):.3g} of -1..1, for {len(crops)} "
            "of the folder, expected pictures; give the range of the network's images with --range, such as 0..1"
        )
    if float((made.abs() > 1 + _BEYOND).float().mean()) > _FEW:
        low, high = float(made.min()), float(made.max())
        raise ConfigError(
            f"{where}: got images from {low:.3g} to {high:.3g} for {len(crops)} of the folder, where -1 is black and 1 "
            "is white, expected values in between; give the range of the network's images with --range, such as 0..255"
        )
    return replace(network, images=images, range_from=source), made


def _measured(network: nn.Module, crops: Tensor) -> tuple[Images, str]:
    """Return the measured range, and words that say how sure it is."""
    images = measured_images(network, crops)
    if len(fitting_ranges(network, crops)) < len(COMMON_RANGES):
        return images, "measured"
    others = " and ".join(str(ImageFormat(each)) for each in COMMON_RANGES if each != images.input.range)
    return images, f"taken because {others} fit as well: say which with --range"


class _Probe:
    """Runs a network on images of any size: on the meta device, where that costs nothing, or else on the CPU."""

    def __init__(self, network: nn.Module) -> None:
        self._networks = {"meta": copy_module(network).to("meta"), "cpu": network}
        self._device = "meta"
        self.error = ""

    def first(self, channels: tuple[int, ...], multiple: int) -> tuple[int, int, torch.Size] | None:
        """Return channels, side and shape of the output of the first image that the network takes."""
        for device in self._networks:
            self._device = device
            for side in dict.fromkeys(math.ceil(side / multiple) * multiple for side in _SIDES):
                for count in channels:
                    output = self._output(count, side, side)
                    if output is not None:
                        return count, side, output
        return None

    def multiple(self, channels: int, side: int, scale: Fraction, known: int) -> int | None:
        """Return the smallest step of sides at which the output keeps its scale; None if the side is the only one."""
        for step in dict.fromkeys(math.lcm(step, known) for step in _STEPS):
            # An odd number of steps more, and another one less: a multiple of the step and of nothing larger.
            longer = [self._output(channels, side, side + step), self._output(channels, side + 3 * step, side)]
            wanted = [(side, side + step), (side + 3 * step, side)]
            if side % step == 0 and all(
                shape is not None and tuple(shape[2:]) == tuple(scale * each for each in sides)
                for shape, sides in zip(longer, wanted, strict=True)
            ):
                return step
        return None

    @torch.no_grad()
    def _output(self, channels: int, height: int, width: int) -> torch.Size | None:
        image = torch.zeros(1, channels, height, width, device=self._device)
        try:
            result = self._networks[self._device](image)
        except Exception as error:  # a forward pass may raise anything
            self.error = self.error or f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
            return None
        if not tensors_of(result):
            self.error = self.error or f"it returned {type(result).__name__} without a tensor"
            return None
        made = image_of(result)
        return made.shape if made.dim() == 4 else None


def _listed(numbers: tuple[int, ...]) -> str:
    return " or ".join(map(str, numbers))
