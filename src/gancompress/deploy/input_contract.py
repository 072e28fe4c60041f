"""Contract of a network's inputs, from the metadata of its file and its runtime: example values and checks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gancompress.deploy.axes import AXES_BY_RANK, Inputs
from gancompress.deploy.runtimes.runner import Input
from gancompress.errors import ConfigError, InputSizeError
from gancompress.networks.example_values import example_values
from gancompress.networks.file_form import MAP_AXES

_ROLES = {"NCHW": "images", "NHW": "label maps", "NC": "noise"}


@dataclass(frozen=True)
class InputContract:
    """Contract of a network's inputs.

    Attributes:
        path: Path of its file, for messages.
        facts: Facts in the metadata of its file: layout, channels, sizes; empty if it has none.
        inputs: Inputs as its runtime reports them, in order; empty if only the network's code defines them.
    """

    path: Path
    facts: Mapping[str, Any]
    inputs: tuple[Input, ...]

    def check(self, values: Inputs) -> None:
        """Check inputs before the runtime sees them, for errors in the terms of the contract.

        Args:
            values: The inputs, in order.

        Raises:
            ConfigError: Number, layout or channels of the inputs differ from those that the network takes.
            InputSizeError: The network cannot take this size, or this batch.
        """
        inputs = self.inputs
        if inputs and len(values) != len(inputs):
            raise ConfigError(f"{self.path}: got {len(values)} inputs, expected {len(inputs)}: {self._names}")
        self._check_first(tuple(values[0].shape))
        for tensor, known in zip(values, inputs, strict=bool(inputs)):
            fits = len(known.shape) == tensor.dim() and all(
                size in (None, got) for size, got in zip(known.shape, tensor.shape, strict=True)
            )
            if not fits:
                wanted = "x".join("any" if size is None else str(size) for size in known.shape)
                raise InputSizeError(
                    f"{self.path}: got values of {'x'.join(map(str, tensor.shape))} for {known.name}, expected "
                    f"{wanted}, the size that the file was exported for; export it with free sizes, or for this one"
                )

    def examples(self, size: tuple[int, int], shapes: Sequence[tuple[int, ...]] = ()) -> Inputs:
        """Return example values that the network takes, always the same, with batch size 1 if it is free.

        Args:
            size: Height and width in pixels, used if they are free.
            shapes: Shape of every input, if neither the file nor the size determines them.

        Raises:
            ConfigError: More than batch, height and width of an input is free, and there are no shapes; or see `check`.
            InputSizeError: See `check`.
        """
        if shapes and len(shapes) != len(self.inputs):
            raise ConfigError(
                f"{self.path}: got {len(shapes)} shapes, expected {len(self.inputs)}, one for each of {self._names}"
            )
        chosen = shapes or [self._shape(each, size) for each in self.inputs]
        labels = int(self.facts.get("labels", 1))
        values = tuple(
            example_values(shape, known.dtype, num_integers=labels)
            for shape, known in zip(chosen, self.inputs, strict=True)
        )
        self.check(values)
        return values

    @property
    def _names(self) -> str:
        return ", ".join(each.name for each in self.inputs)

    def _shape(self, known: Input, size: tuple[int, int]) -> tuple[int, ...]:
        is_map = len(known.shape) == 3 and not known.dtype.is_floating_point
        axes = MAP_AXES if is_map else AXES_BY_RANK.get(len(known.shape), {0: "batch"})
        free = {"batch": 1, "height": size[0], "width": size[1]}
        shape = [free.get(axes.get(axis, "")) if fixed is None else fixed for axis, fixed in enumerate(known.shape)]
        if None in shape:
            wanted = "x".join("any" if fixed is None else str(fixed) for fixed in known.shape)
            raise ConfigError(
                f"{self.path}: got an input {known.name} of {wanted}, expected one of which only batch, height and "
                "width are free; say the shape of every input with --input"
            )
        return tuple(each for each in shape if each is not None)

    def _check_first(self, shape: tuple[int, ...]) -> None:
        """Check the first input against the facts in the file."""
        facts, layout = self.facts, self.facts.get("layout", "")
        if layout not in _ROLES:
            return
        channels = facts.get("channels", facts["latent_size"] + facts.get("num_classes", 0) if layout == "NC" else None)
        if layout == "NHW" and len(shape) != 3:
            raise ConfigError(f"{self.path}: got values of shape {list(shape)}, expected label maps [b, h, w]")
        if layout == "NCHW" and (len(shape) != 4 or channels not in (None, shape[1])):
            wanted = "images" if channels is None else f"{channels} channels"
            raise ConfigError(
                f"{self.path}: got values of shape {list(shape)}, expected {wanted} in layout NCHW "
                "(bytes: channels last)"
            )
        if layout == "NC" and shape[-1:] != (channels,):
            raise ConfigError(
                f"{self.path}: got values of shape {list(shape)}, expected {channels} channels in layout NC"
            )
        if layout != "NC":
            multiple, smallest = facts.get("size_multiple_px", 1), facts.get("min_size_px", 1)
            if any(side % multiple or side < smallest for side in shape[-2:]):
                raise InputSizeError(
                    f"{self.path}: got {_ROLES[layout]} of {shape[-2]}x{shape[-1]} (height x width), expected both "
                    f"divisible by {multiple} and at least {smallest} px; resize them"
                )
