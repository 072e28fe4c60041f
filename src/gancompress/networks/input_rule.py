"""Rules of the inputs that a network takes: number, channels and sizes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

from gancompress.errors import CheckpointError, ConfigError, InputSizeError

Shape = tuple[int | None, ...]
"""Shape of an input; None for a free axis."""


@dataclass(frozen=True)
class InputRule:
    """Inputs of a network: one image by default.

    Attributes:
        channels: Channels of the image; None if they are not known.
        multiple: Divisor of its height and width, in pixels.
        minimum: Smallest height and width, in pixels.
        square: True if only square images are taken.
        shapes: Shape of every input, if they are declared; empty for one image.
        scale: Size of the output divided by the size of the input; None if it is not known.
    """

    channels: int | None = None
    multiple: int = 1
    minimum: int = 1
    square: bool = False
    shapes: tuple[Shape, ...] = ()
    scale: float | None = None

    def check_size(self, name: str, size: tuple[int, int]) -> None:
        """Reject an image size that breaks the rule.

        Args:
            name: Name of the network in the message.
            size: Height and width in pixels.

        Raises:
            InputSizeError: A side is fixed and other, not divisible, or too small; or the image is not square.
        """
        fixed = self._fixed_size
        fitting = tuple(
            side or max(self.minimum, self.multiple * round(got / self.multiple))
            for side, got in zip(fixed, size, strict=True)
        )
        if self.square and fitting[0] != fitting[1]:
            fitting = (max(fitting),) * 2
        if fitting == tuple(size):
            return
        expected = f"at least {self.minimum} px"
        if self.multiple > 1:
            expected = f"both divisible by {self.multiple} and {expected}"
        elif not any(fixed):
            expected = f"both {expected}"
        if any(fixed):
            expected = "x".join("any" if side is None else str(side) for side in fixed) + ", the size of the file"
        square = " and square" if self.square else ""
        raise InputSizeError(
            f"{name}: got an image of {size[0]}x{size[1]} (height x width), expected {expected}{square}; resize it, "
            f"for example to {fitting[0]}x{fitting[1]}"
        )

    def crop_side(self, side: int) -> int:
        """Return the side of square crops that the rule allows, rounded down from a wanted one."""
        fixed = next((each for each in self._fixed_size if each is not None), None)
        return fixed or max(self.minimum, side // self.multiple * self.multiple)

    def example_shapes(self, name: str, size: tuple[int, int]) -> tuple[tuple[int, ...], ...]:
        """Return the shapes of example inputs, with batch size 1.

        Args:
            name: Name of the network in the message.
            size: Height and width of images, in pixels.

        Raises:
            InputSizeError: `check_size` rejects the size.
            ConfigError: More than batch, height and width of an input is free.
        """
        shapes = self.shapes or ((1, self.channels or 3, None, None),)
        if any(len(shape) == 4 for shape in shapes):
            self.check_size(name, size)
        free = {4: (1, None, *size)}
        filled = [
            tuple(
                usual if axis is None else axis
                for axis, usual in zip(shape, free.get(len(shape), (1, *(None,) * (len(shape) - 1))), strict=True)
            )
            for shape in shapes
        ]
        if any(None in shape for shape in filled):
            wanted = ", ".join("x".join("any" if axis is None else str(axis) for axis in shape) for shape in shapes)
            raise ConfigError(
                f"{name}: got no shape for inputs of {wanted}, expected one for each; say them by --input"
            )
        return tuple(tuple(axis for axis in shape if axis is not None) for shape in filled)

    def contract(self) -> dict[str, Any]:
        """Describe sizes and channels, for the files next to the weights and for exported files."""
        channels = {} if self.channels is None else {"channels": self.channels}
        return {**channels, "size_multiple_px": self.multiple, "min_size_px": self.minimum}

    def describe(self) -> dict[str, Any]:
        """Return plain values for saving."""
        return asdict(self) | {"shapes": [list(shape) for shape in self.shapes]}

    @classmethod
    def from_description(cls, description: Any) -> Self:
        """Read the result of `describe`. Raises CheckpointError for anything else."""
        try:
            rule = cls(**{**description, "shapes": tuple(map(tuple, description["shapes"]))})
            sizes = (rule.multiple, rule.minimum, *(axis or 1 for shape in rule.shapes for axis in shape))
            if not _positive(sizes) or not _positive((rule.channels or 1,)):
                raise ValueError(description)
        except (TypeError, KeyError, ValueError):
            raise CheckpointError(
                f"takes: got {description!r}, expected channels, multiple, minimum, square, shapes and scale"
            ) from None
        return rule

    @property
    def _fixed_size(self) -> Shape:
        images = [shape for shape in self.shapes if len(shape) == 4]
        return images[0][2:] if images else (None, None)


def _positive(sizes: Sequence[Any]) -> bool:
    return all(type(size) is int and size > 0 for size in sizes)
