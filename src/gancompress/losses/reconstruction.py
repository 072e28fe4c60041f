"""Pixel distances between an image and its target: the ground truth, or the teacher's output."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Literal

from torch import Tensor
from torch.nn import functional as F

from gancompress.errors import ConfigError, nearest
from gancompress.losses.shapes import check_same_shape
from gancompress.losses.term import Networks, Term, TermOptions, register_term
from gancompress.perception.precision import full_precision

Reconstruction = Callable[[Tensor, Tensor], Tensor]
"""Function of images and targets of one shape that returns the mean over all their elements."""

Distance = Literal["l1", "l2", "smooth_l1"]
"""Pixel distances, by their names in `RECONSTRUCTIONS`."""


@full_precision
def l1(images: Tensor, targets: Tensor) -> Tensor:
    """Return the mean absolute difference. Raises ConfigError if the shapes differ."""
    check_same_shape("l1", images, targets)
    return F.l1_loss(images, targets)


@full_precision
def l2(images: Tensor, targets: Tensor) -> Tensor:
    """Return the mean squared difference. Raises ConfigError if the shapes differ."""
    check_same_shape("l2", images, targets)
    return F.mse_loss(images, targets)


@full_precision
def smooth_l1(images: Tensor, targets: Tensor) -> Tensor:
    """Return the mean Huber loss with its threshold at 1. Raises ConfigError if the shapes differ."""
    check_same_shape("smooth_l1", images, targets)
    return F.smooth_l1_loss(images, targets)


RECONSTRUCTIONS: dict[str, Reconstruction] = {"l1": l1, "l2": l2, "smooth_l1": smooth_l1}


def find_reconstruction(name: str) -> Reconstruction:
    """Return the distance of this name. With the teacher's output as target it is output distillation.

    Raises:
        ConfigError: There is no such distance; the message ends with the nearest name.
    """
    if name not in RECONSTRUCTIONS:
        raise ConfigError(f"reconstruction: got '{name}', expected a known one; {nearest(name, RECONSTRUCTIONS)}")
    return RECONSTRUCTIONS[name]


class _PixelDistance(TermOptions):
    """Pixel distance of the student's image from the target; pixels outside of the content count as equal."""

    distance: ClassVar[Distance]

    def build(self, networks: Networks) -> Term:
        """Return the term of the distance."""
        distance = RECONSTRUCTIONS[self.distance]
        return Term(lambda c: distance(*c.of_content))


@register_term
class L1(_PixelDistance):
    """Mean absolute difference of the pixels."""

    kind = distance = "l1"


@register_term
class L2(_PixelDistance):
    """Mean squared difference of the pixels."""

    kind = distance = "l2"


@register_term
class SmoothL1(_PixelDistance):
    """Mean Huber loss of the pixels."""

    kind = distance = "smooth_l1"
