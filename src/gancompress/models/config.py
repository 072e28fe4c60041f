"""What the configuration of every family has in common: strict fields and a width for each channel group."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Self

from pydantic import Field, model_validator

from gancompress.errors import nearest
from gancompress.options import Options

Count = Annotated[int, Field(ge=1)]
Rate = Annotated[float, Field(ge=0, lt=1)]


class FamilyConfig(Options):
    """Base of the configurations. Unknown options and wrong types are refused, all of them in one message.

    A channel group is named after the module path of the convolution that produces it (the first one, where
    several do), for example ``stem.conv``. A narrow network is the same family with other ``widths``.

    Attributes:
        in_channels: Channels of the input image; of condition and image together for a paired discriminator.
        widths: Output width of channel groups, where it differs from what the base width gives. At least 1.

    Raises:
        ConfigError: An option is unknown or has a wrong type or value, or ``widths`` names an unknown group.
    """

    base_width: ClassVar[str] = "ngf"
    """Name of the option that all default widths are multiples of."""
    reference_group: ClassVar[str]
    """The group whose width tells the base width of a narrow network."""

    in_channels: Count = 3
    widths: dict[str, Count] = Field(default_factory=dict)

    def default_widths(self) -> dict[str, int]:
        """The width that the base width gives every channel group, in the order of the forward pass."""
        raise NotImplementedError

    @property
    def size_multiple(self) -> int:
        """Height and width of an image must be divisible by this, in pixels."""
        return 1

    @property
    def min_size(self) -> int:
        """Smallest height and width of an image, in pixels."""
        return 1

    @property
    def distillation_taps(self) -> tuple[str, ...]:
        """Paths of the modules whose feature maps a student should imitate."""
        return ()

    def group_widths(self) -> dict[str, int]:
        """The width of every channel group, in the order of the forward pass."""
        return self.default_widths() | self.widths

    def at_widths(self, widths: Mapping[str, int]) -> Self:
        """The same network at other widths, written as a base width and few overrides.

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
