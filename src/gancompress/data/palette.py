"""Colours of classes in pictures."""

from __future__ import annotations

import colorsys
import math

import torch
from torch import Tensor

Rgb = tuple[int, int, int]

DONT_CARE: Rgb = (0, 0, 0)
"""Colour of pixels without a class."""


def distinct_colour(number: int) -> Rgb:
    """Return a colour for a class: hues a golden angle apart, so that the first dozens are easy to distinguish."""
    hue = number * (math.sqrt(5) - 1) / 2 % 1
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.4 + 0.15 * (number % 3), 0.92 - 0.2 * (number % 2))
    return round(255 * red), round(255 * green), round(255 * blue)


def label_picture(labels: Tensor, colours: tuple[Rgb, ...]) -> Tensor:
    """Draw label maps as pictures.

    Args:
        labels: Class numbers, integers [b, h, w]; a number without a colour is "don't care".
        colours: Colour of each class, RGB, 0 to 255.

    Returns:
        Images [b, 3, h, w] in [-1, 1].
    """
    palette = torch.tensor([*colours, DONT_CARE], dtype=torch.float32, device=labels.device) / 127.5 - 1
    known = (labels >= 0) & (labels < len(colours))
    return palette[torch.where(known, labels, len(colours)).long()].movedim(-1, 1)
