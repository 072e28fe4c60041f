"""What the configuration of every family has in common: strict fields and a width for each channel group."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from gancompress.errors import ConfigError, nearest

Count = Annotated[int, Field(ge=1)]
Rate = Annotated[float, Field(ge=0, lt=1)]


class FamilyConfig(BaseModel):
    """Base of the configurations. Unknown options and wrong types are refused, all of them in one message.

    A channel group is named after the module path of the convolution that produces it (the first one, where
    several do), for example ``stem.conv``. A narrow network is the same family with other ``widths``.

    Attributes:
        in_channels: Channels of the input image; of condition and image together for a paired discriminator.
        widths: Output width of channel groups, where it differs from what the base width gives. At least 1.

    Raises:
        ConfigError: An option is unknown or has a wrong type or value, or ``widths`` names an unknown group.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    base_width: ClassVar[str] = "ngf"
    """Name of the option that all default widths are multiples of."""
    reference_group: ClassVar[str]
    """The group whose width tells the base width of a narrow network."""

    in_channels: Count = 3
    widths: dict[str, Count] = Field(default_factory=dict)

    def __init__(self, **options: Any) -> None:
        """Validates the options."""
        try:
            super().__init__(**options)
        except ValidationError as error:
            reasons = [_reason(details, type(self).model_fields) for details in error.errors()]
            raise ConfigError("; ".join(reasons)) from None

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

    def group_widths(self) -> dict[str, int]:
        """The width of every channel group, in the order of the forward pass."""
        return self.default_widths() | self.widths

    def at_widths(self, widths: Mapping[str, int]) -> Self:
        """The same network at other widths, written as a base width and few overrides.

        Args:
            widths: Width of channel groups; a group that is not named keeps its width.
        """
        complete = {**self.group_widths(), **widths}
        options = self.model_dump()
        multiplier = self.default_widths()[self.reference_group] // options[self.base_width]
        options |= {"widths": {}, self.base_width: max(1, complete[self.reference_group] // multiplier)}
        default = type(self)(**options).default_widths()
        overrides = {group: width for group, width in complete.items() if width != default.get(group)}
        return type(self)(**options | {"widths": overrides})

    @model_validator(mode="after")
    def _groups_exist(self) -> Self:
        known = self.default_widths()
        unknown = [f"unknown group '{group}', {nearest(group, known)}" for group in self.widths if group not in known]
        if unknown:
            raise ValueError("widths: " + "; ".join(unknown))
        return self


def _reason(details: ErrorDetails, known: Mapping[str, object]) -> str:
    """One validation error as "where: got, expected"."""
    where = ".".join(map(str, details["loc"]))
    if details["type"] == "extra_forbidden":
        return f"unknown option '{where}', {nearest(where, known)}"
    expected = details["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
    return f"{where}: got {details['input']!r}, expected {expected}" if where else expected
