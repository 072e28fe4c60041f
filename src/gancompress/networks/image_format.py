"""Range, colour order and layout of a network's images, and the conversion at its boundary.

Everything in this package holds images in [-1, 1], RGB, NCHW. A network with images of another format gets a
boundary: hooks that convert its inputs and outputs. The network's tensors, their names and its module tree stay
unchanged, so that training, sub-networks, measurements and exported files all include the conversion.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

from gancompress.errors import ConfigError
from gancompress.networks.outputs import image_of

Range = tuple[float, float]
ColorOrder = Literal["RGB", "BGR"]
ImageLayout = Literal["NCHW", "NHWC"]

_NUMBER = r"-?\d+(?:\.\d+)?"
_RANGE = re.compile(rf"({_NUMBER})\.\.({_NUMBER})")
_UNCHANGED = "unchanged"
MEASURED = "measured"
"""Value of the range option that selects `measured_images`."""
NOT_DECLARED = "declares no range of its images, which are taken to be in -1..1, RGB"
_ALIKE = 1e-4
"""Mean squared difference of [-1, 1] images below which they count as equal."""
COMMON_RANGES: tuple[Range, ...] = ((-1.0, 1.0), (0.0, 1.0), (0.0, 255.0))
"""The ranges that `fitting_ranges` tries."""


@dataclass(frozen=True)
class ImageFormat:
    """The format of images on one side of a network.

    Attributes:
        range: Darkest and lightest value; None for values that are not converted, such as label maps and noise.
        color_order: Order of the colour channels.
        layout: Order of the axes.
    """

    range: Range | None = (-1.0, 1.0)
    color_order: ColorOrder = "RGB"
    layout: ImageLayout = "NCHW"

    def from_standard(self, images: Tensor) -> Tensor:
        """Convert images in [-1, 1], RGB, [b, c, h, w] to this format."""
        if self.range is not None and self.range != (-1.0, 1.0):
            low, high = self.range
            images = images * ((high - low) / 2) + (high + low) / 2
        if self.color_order == "BGR":
            images = images.flip(1)
        return images.permute(0, 2, 3, 1) if self.layout == "NHWC" else images

    def to_standard(self, images: Tensor) -> Tensor:
        """Convert images of this format to [-1, 1], RGB, [b, c, h, w]."""
        if self.layout == "NHWC":
            images = images.permute(0, 3, 1, 2)
        if self.color_order == "BGR":
            images = images.flip(1)
        if self.range is not None and self.range != (-1.0, 1.0):
            low, high = self.range
            images = (images - (high + low) / 2) / ((high - low) / 2)
        return images

    def __str__(self) -> str:
        """Return the range, and the colour order and layout if they are not RGB, NCHW."""
        values = _UNCHANGED if self.range is None else "..".join(f"{limit:g}" for limit in self.range)
        others = [name for name in (self.color_order, self.layout) if name not in ("RGB", "NCHW")]
        return " ".join([values, *others])


@dataclass(frozen=True)
class Images:
    """The formats of a network's input and output images."""

    input: ImageFormat = ImageFormat()
    output: ImageFormat = ImageFormat()

    @classmethod
    def parse(cls, text: str, color_order: ColorOrder = "RGB", layout: ImageLayout = "NCHW") -> Images:
        """Parse a range as users write it.

        Args:
            text: ``0..1`` for input and output, or ``0..255 to 0..1``; ``unchanged to 0..1`` does not convert the
                input.
            color_order: Order of the colour channels on both sides.
            layout: Order of the axes on both sides.

        Raises:
            ConfigError: The text is not a range.
        """
        sides = text.split(" to ")
        if len(sides) > 2:
            raise ConfigError(_not_a_range(text))
        formats = [ImageFormat(_parse_range(side, text), color_order, layout) for side in sides]
        return cls(formats[0], formats[-1])

    @classmethod
    def from_description(cls, description: Any) -> Images:
        """Read the result of `describe`. Raises ConfigError for anything else."""
        try:
            sides = [
                ImageFormat(
                    None if side["range"] is None else (float(side["range"][0]), float(side["range"][1])),
                    _one_of(side["color_order"], get_args(ColorOrder)),
                    _one_of(side["layout"], get_args(ImageLayout)),
                )
                for side in (description["input"], description["output"])
            ]
        except (TypeError, KeyError, IndexError, ValueError):
            raise ConfigError(f"images: got {description!r}, expected range, color_order and layout of both") from None
        return cls(*sides)

    def describe(self) -> dict[str, Any]:
        """Return plain values for saving."""
        return {
            name: {
                "range": None if side.range is None else list(side.range),
                "color_order": side.color_order,
                "layout": side.layout,
            }
            for name, side in (("input", self.input), ("output", self.output))
        }

    def __str__(self) -> str:
        """Return the text that `parse` reads."""
        return str(self.input) if self.input == self.output else f"{self.input} to {self.output}"


STANDARD = Images()
"""[-1, 1], RGB, NCHW on both sides."""


class Boundary:
    """Hooks that convert the images at the input and output of a network."""

    def __init__(self, images: Images) -> None:
        """Set the formats inside the network."""
        self.images = images

    def enter(self, _: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        """Convert the inputs; vectors [b, n] and integers are not images."""
        return tuple(self.images.input.from_standard(x) if _is_image(x) else x for x in inputs)

    def leave(self, _: nn.Module, __: tuple[Any, ...], output: Any) -> Any:
        """Convert the outputs."""
        return tree_map_only(Tensor, lambda x: self.images.output.to_standard(x) if _is_image(x) else x, output)


def give_boundary(network: nn.Module, images: Images | None) -> nn.Module:
    """Make a network take and return images in [-1, 1], RGB, NCHW, in place.

    Args:
        network: The network.
        images: Formats inside the network; None, and [-1, 1], RGB, NCHW, change nothing.

    Returns:
        The network.
    """
    if images is not None and images != STANDARD:
        boundary = Boundary(images)
        network.register_forward_pre_hook(boundary.enter)
        network.register_forward_hook(boundary.leave)
    return network


def measured_images(network: nn.Module, images: Tensor) -> Images:
    """Measure the image range of a network that returns images like its inputs, see `fitting_ranges`.

    This does not work for a network whose outputs differ widely from its inputs; declare its range instead.

    Returns:
        The widest of the fitting ranges, because a network also keeps a part of its range; 0..1 if all fit, because
        then the network treats every scale alike.
    """
    fitting = fitting_ranges(network, images)
    undecided = len(fitting) == len(COMMON_RANGES)
    best = ImageFormat((0.0, 1.0) if undecided else max(fitting, key=lambda limits: limits[1] - limits[0]))
    return Images(best, best)


@torch.no_grad()
def fitting_ranges(network: nn.Module, images: Tensor) -> list[Range]:
    """Return the ranges of `COMMON_RANGES` in which a network returns images most like its inputs.

    Each range is tried: the images are given in it, and the output, assumed to have the same range, is compared with
    them. Ranges whose mean squared difference is hardly larger than the smallest one fit as well.

    Args:
        network: An image-to-image network of one input, in evaluation mode.
        images: Real images [b, c, h, w] in [-1, 1].
    """
    differences = {}
    for limits in COMMON_RANGES:
        kind = ImageFormat(limits)
        output = kind.to_standard(image_of(network(kind.from_standard(images))))
        if output.shape[2:] != images.shape[2:]:
            output = nn.functional.interpolate(output, images.shape[2:])
        difference = output.mean(1) - images.mean(1)
        differences[limits] = float(difference.square().mean().nan_to_num(torch.inf))
    return [limits for limits, each in differences.items() if each <= min(differences.values()) + _ALIKE]


def _is_image(value: Any) -> bool:
    return isinstance(value, Tensor) and value.is_floating_point() and value.dim() > 2


def _parse_range(side: str, text: str) -> Range | None:
    if side.strip() == _UNCHANGED:
        return None
    found = _RANGE.fullmatch(side.strip())
    if found is None or float(found[1]) >= float(found[2]):
        raise ConfigError(_not_a_range(text))
    return float(found[1]), float(found[2])


def _not_a_range(text: str) -> str:
    return f"range: got '{text}', expected two rising numbers such as 0..1, or two ranges such as '0..255 to 0..1'"


def _one_of(value: Any, allowed: tuple[Any, ...]) -> Any:
    if value not in allowed:
        raise ValueError(value)
    return value
