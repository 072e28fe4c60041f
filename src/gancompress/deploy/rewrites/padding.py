"""Rewrite of reflection padding -> slices and concatenation, which every runtime keeps in its graph.

The Pad operator in mode reflect moves an image from the accelerator to the CPU and back on runtimes that lack it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.modules.utils import _reverse_repeat_tuple

from gancompress.deploy.rewrites.rewrite import Change, replace_layers


def sliced_reflection(network: nn.Module) -> Change:
    """Replace reflection padding, both as a layer and in convolutions."""
    layers = replace_layers(network, nn.ReflectionPad2d, lambda layer: SlicedReflection(*layer.padding))
    return Change("sliced_reflection", layers + replace_layers(network, nn.Conv2d, _padded_before))


def _padded_before(layer: nn.Conv2d) -> nn.Module | None:
    if layer.padding_mode != "reflect" or isinstance(layer.padding, str):
        return None
    if not any(layer.padding):
        return None
    left, right, top, bottom = _reverse_repeat_tuple(layer.padding, 2)
    layer.padding_mode, layer.padding = "zeros", (0, 0)
    return nn.Sequential(SlicedReflection(left, right, top, bottom), layer)


class SlicedReflection(nn.Module):
    """`torch.nn.ReflectionPad2d` by rows and columns."""

    def __init__(self, left: int, right: int, top: int, bottom: int) -> None:
        """Set the pixels to add on each side; the image must have more along each axis."""
        super().__init__()
        self._by_axis = ((2, top, bottom), (3, left, right))

    def forward(self, image: Tensor) -> Tensor:
        """Map [b, c, h, w] to [b, c, top + h + bottom, left + w + right]."""
        for axis, before, after in self._by_axis:
            size = image.shape[axis]
            first = [image.narrow(axis, i, 1) for i in range(before, 0, -1)]
            last = [image.narrow(axis, size - 1 - i, 1) for i in range(1, after + 1)]
            image = torch.cat([*first, image, *last], axis)
        return image
