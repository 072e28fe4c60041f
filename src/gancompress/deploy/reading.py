"""Inputs of a network from what people hand in: pictures, arrays, label maps and tensors; and images like them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from gancompress.deploy.axes import Inputs
from gancompress.deploy.runtimes.runner import Input
from gancompress.errors import ConfigError, DataError
from gancompress.io.pictures import array_to_channels, from_array, mode_of, to_channels
from gancompress.networks.label_input import one_hot

_MARGIN = 0.1
"""Part of its range by which floats may lie outside: resizing filters and other networks overshoot."""


@dataclass(frozen=True)
class InputReader:
    """Conversion of what people hand in to the inputs of a network, and of its images back.

    Attributes:
        path: Path of the network's file, for messages.
        contract: Facts in the metadata of its file.
        inputs: Inputs as its runtime reports them; empty if only the network's code defines them.
    """

    path: Path
    contract: Mapping[str, Any]
    inputs: tuple[Input, ...]

    def read(self, images: Any, others: tuple[Any, ...]) -> Inputs:
        """Return all inputs with a batch axis; pixels as bytes [b, c, h, w], all others as the network takes them."""
        if self.reads_labels(images):
            return self._label_maps((images, *others))
        return tuple(self._tensor(each, place) for place, each in enumerate((images, *others)))

    def reads_labels(self, images: object) -> bool:
        """Return whether the first input is a label map, which the file takes directly or as one-hot channels."""
        if isinstance(images, Image.Image):
            whole = True
        elif isinstance(images, np.ndarray):
            whole = np.issubdtype(images.dtype, np.integer)
        else:
            whole = isinstance(images, Tensor) and not images.is_floating_point()
        return whole and ("labels" in self.contract or "encoding" in self.contract)

    def like(self, images: Any, result: Tensor) -> Any:
        """Return the images of a network in the form of its first input.

        Args:
            images: The first input.
            result: Images [b, c, h, w]; bytes unless the first input holds floats.

        Raises:
            ConfigError: The input is a picture, and the output has more channels than one.
        """
        if isinstance(images, Tensor):
            return result
        if isinstance(images, np.ndarray) and np.issubdtype(images.dtype, np.floating):
            return result.numpy()
        pixels = result.movedim(1, -1).numpy()
        if isinstance(images, Image.Image):
            mode_of(pixels.shape[-1], f"{self.path}: output")
            return from_array(np.ascontiguousarray(pixels[0]))
        dims = images.ndim + self.reads_labels(images)  # of an image with its channels
        pixels = pixels if dims == 4 else pixels[0]
        return pixels[..., 0] if images.ndim == 2 and pixels.shape[-1] == 1 else pixels

    def _label_maps(self, maps: Sequence[Tensor | np.ndarray | Image.Image]) -> Inputs:
        batch = [each[None] if each.dim() == 2 else each for each in map(_as_map, maps)]
        if "labels" in self.contract:
            return tuple(batch)
        num_labels = self.contract["channels"] - len(maps) + 1
        borders = ((each[:, None] != 0).float() for each in batch[1:])
        return (torch.cat([one_hot(batch[0], num_labels), *borders], 1),)

    def _tensor(self, values: object, place: int) -> Tensor:
        """Return an input as floats; pixels as bytes [b, c, h, w]."""
        if isinstance(values, Image.Image):
            picture = np.array(to_channels(values, self._picture_channels(place), str(self.path)))
            return torch.from_numpy(picture[None, ..., None] if picture.ndim == 2 else picture[None]).movedim(-1, 1)
        if isinstance(values, np.ndarray) and not np.issubdtype(values.dtype, np.floating):
            pixels = array_to_channels(values, self._picture_channels(place), str(self.path))
            return torch.from_numpy(np.array(pixels)).movedim(-1, 1)
        if isinstance(values, np.ndarray):
            values = torch.from_numpy(np.ascontiguousarray(values, np.float32))
        if isinstance(values, Tensor) and values.is_floating_point():
            if place == 0:
                self._check_range(values)
            return values.float()
        kind = f"tensor of {values.dtype}" if isinstance(values, Tensor) else type(values).__name__
        raise ConfigError(
            f"{self.path}: got a {kind}, expected a float tensor or array, pixels of uint8 or uint16, a PIL image, or "
            "the path of one"
        )

    def _picture_channels(self, place: int) -> int:
        """Return the number of channels that a picture needs as an input of the network.

        Raises:
            ConfigError: The network takes no pictures, or does not tell.
        """
        contract = self.contract
        if contract.get("layout") != "NCHW" or contract.get("range") != [-1, 1]:
            raise ConfigError(
                f"{self.path}: got an image of bytes, but the network takes {_described(contract)}; give "
                "floats, or export it with the range of its images"
            )
        shape = self.inputs[place].shape if place < len(self.inputs) else ()
        known = shape[1] if len(shape) == 4 else contract.get("channels") if place == 0 else None
        return known or 3

    def _check_range(self, values: Tensor) -> None:
        """Raise DataError if values are clearly outside the range of the network's images."""
        limits = self.contract.get("range")
        if not isinstance(limits, list) or not values.numel() or values.dim() < 3:
            return
        low, high = limits
        margin, lowest, highest = _MARGIN * (high - low), float(values.min()), float(values.max())
        if not (lowest >= low - margin and highest <= high + margin):  # NaN is outside, too
            raise DataError(
                f"{self.path}: got floats from {lowest:g} to {highest:g}, expected {low:g} to {high:g}; scale them, "
                "or give a picture or an array of uint8"
            )


def _as_map(values: Tensor | np.ndarray | Image.Image) -> Tensor:
    """Return integers or truth values, one for each pixel, as a tensor."""
    if isinstance(values, Tensor):
        return values
    return torch.from_numpy(np.array(values))


def _described(contract: Mapping[str, Any]) -> str:
    known = {name: contract[name] for name in ("layout", "range", "encoding", "distribution") if name in contract}
    return ", ".join(f"{name} {value}" for name, value in known.items()) or "what its file does not tell"
