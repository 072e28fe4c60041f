"""Base class of family configurations: strict fields and a width for each channel group."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor
from torch.nn.functional import one_hot

from gancompress.channels.slots import Slot
from gancompress.errors import PlanError, nearest
from gancompress.options import Options

Count = Annotated[int, Field(ge=1)]
NotNegative = Annotated[int, Field(ge=0)]
Rate = Annotated[float, Field(ge=0, lt=1)]


class FamilyConfig(Options):
    """Base of the configurations. Unknown options and wrong types are rejected, all of them in one message.

    A channel group is named after the module path of the convolution that produces it (the first one if there are
    several), for example ``stem.conv``. A narrow network is the same family with other ``widths``.

    Attributes:
        in_channels: Channels of the input image; of condition and image together for a paired discriminator.
        widths: Output width of channel groups, if it differs from the default for the base width. At least 1.

    Raises:
        ConfigError: An option is unknown or has a wrong type or value, or ``widths`` names an unknown group.
    """

    base_width: ClassVar[str] = "ngf"
    """Name of the option that all default widths are multiples of."""
    reference_group: ClassVar[str]
    """The group whose width determines the base width of a narrow network."""

    written_forms: ClassVar[tuple[str, ...]] = ()
    """Forms of plan strings in which widths are written; the first form that fits is used."""

    in_channels: Count = 3
    widths: dict[str, Count] = Field(default_factory=dict)

    def default_widths(self) -> dict[str, int]:
        """Return the default width of every channel group, in the order of the forward pass."""
        raise NotImplementedError

    @property
    def size_multiple(self) -> int:
        """Divisor of the height and width of an image, in pixels."""
        return 1

    @property
    def min_size(self) -> int:
        """Smallest height and width of an image, in pixels."""
        return 1

    @property
    def output_scale(self) -> int:
        """Size of the output image divided by the size of the input."""
        return 1

    def input_shape(self, size: tuple[int, int]) -> tuple[int, ...]:
        """Return the shape of one input, without the batch.

        Args:
            size: Height and width of the image in pixels.
        """
        return (self.in_channels, *size)

    def input_contract(self) -> dict[str, Any]:
        """Describe the inputs, for the file next to the weights."""
        return {
            "layout": "NCHW",
            "channels": self.in_channels,
            "range": [-1, 1],
            "size_multiple_px": self.size_multiple,
            "min_size_px": self.min_size,
        }

    @property
    def distillation_taps(self) -> tuple[str, ...]:
        """Paths of the modules whose feature maps a student imitates."""
        return ()

    @property
    def image_taps(self) -> tuple[str, ...]:
        """Paths of the modules that return images at each resolution, from coarse to fine, the final image included."""
        return ()

    def slots(self, form: str) -> tuple[Slot, ...]:
        """Return the channel groups of each number of a plan string.

        Args:
            form: A form in `gancompress.networks.config_strings`, or a form of the family.

        Raises:
            PlanError: The family has no strings of this form, or the network is too small for it.
        """
        forms = " or ".join(self.written_forms) or "none: its family has no strings"
        raise PlanError(
            f"plan: got the form {form} for {type(self).__name__}, expected {forms}; give widths by group name"
        )

    def string_forms(self, *, legacy: bool) -> dict[int, str]:
        """Return the forms of plan strings by their number of numbers; empty for a family without strings.

        Args:
            legacy: Whether the string starts with ``legacy:``.
        """
        return {}

    def group_widths(self) -> dict[str, int]:
        """Return the width of every channel group, in the order of the forward pass."""
        return self.default_widths() | self.widths

    def at_widths(self, widths: Mapping[str, int]) -> Self:
        """Return the configuration of the same network at other widths, with a base width and few overrides.

        Args:
            widths: Width of channel groups; a group that is not named keeps its width.
        """
        complete = {**self.group_widths(), **widths}
        options: dict[str, Any] = self.model_dump()
        multiplier = self.default_widths()[self.reference_group] // options[self.base_width]
        options |= {"widths": {}, self.base_width: max(1, complete[self.reference_group] // multiplier)}
        default = type(self)(**options).default_widths()
        overrides = {group: width for group, width in complete.items() if width != default.get(group)}
        return type(self)(**{**options, "widths": overrides})

    @model_validator(mode="after")
    def _groups_exist(self) -> Self:
        known = self.default_widths()
        unknown = [f"unknown group '{group}', {nearest(group, known)}" for group in self.widths if group not in known]
        if unknown:
            raise ValueError("widths: " + "; ".join(unknown))
        return self


class LatentConfig(FamilyConfig):
    """Base of the configurations of generators that draw images from noise. Their images have one size.

    The input is one tensor [b, latent_size + num_classes]: a standard normal vector and, for a generator with classes,
    a one-hot row behind it (or a mixture of classes, numbers that sum to 1).

    Attributes:
        latent_size: Dimension of the noise.
        num_classes: Number of image classes; 0 for a generator without classes.
    """

    in_channels: ClassVar[int] = 0  # type: ignore[misc]  # the input is no image

    latent_size: Count = 128
    num_classes: NotNegative = 0

    @property
    def image_size(self) -> int:
        """Height and width of the generated images, in pixels."""
        raise NotImplementedError

    def draw(self, count: int, draw: torch.Generator) -> Tensor:
        """Draw inputs [count, latent_size + num_classes]: noise, and a one-hot class for a generator with classes."""
        noise = torch.randn(count, self.latent_size, generator=draw)
        if not self.num_classes:
            return noise
        classes = torch.randint(self.num_classes, (count,), generator=draw)
        return torch.cat([noise, one_hot(classes, self.num_classes).float()], 1)

    def input_shape(self, size: tuple[int, int]) -> tuple[int, ...]:
        """Return the shape of one input, without the batch; it does not depend on the size."""
        return (self.latent_size + self.num_classes,)

    def input_contract(self) -> dict[str, Any]:
        """Describe the inputs, for the file next to the weights."""
        return {
            "layout": "NC",
            "distribution": "standard normal, then one-hot classes",
            "latent_size": self.latent_size,
            "num_classes": self.num_classes,
            "image_size_px": self.image_size,
        }
