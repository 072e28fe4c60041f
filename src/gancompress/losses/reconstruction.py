"""Pixel distances between an image and its target: the ground truth, or the teacher's output."""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType
from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field
from torch import Tensor
from torch.nn import functional as F

from gancompress.errors import ConfigError
from gancompress.losses.shapes import check_same_shape
from gancompress.losses.term import Comparison, Networks, Term, TermOptions, Weight, register_term
from gancompress.perception.precision import full_precision
from gancompress.registry import Registry

Reconstruction = Callable[[Tensor, Tensor], Tensor]
"""Function of images and targets of one shape that returns the mean over all their elements."""

RECONSTRUCTIONS: Registry[Reconstruction] = Registry("reconstructions", "a known one", values=FunctionType)
"""Every pixel distance by its name. With the teacher's output as target it is output distillation."""

Distance = Annotated[str, AfterValidator(RECONSTRUCTIONS.known)]
"""Pixel distance: a name in `RECONSTRUCTIONS`, or the import path of a function."""


@RECONSTRUCTIONS.register("l1")
@full_precision
def l1(images: Tensor, targets: Tensor) -> Tensor:
    """Return the mean absolute difference. Raises ConfigError if the shapes differ."""
    check_same_shape("l1", images, targets)
    return F.l1_loss(images, targets)


@RECONSTRUCTIONS.register("l2")
@full_precision
def l2(images: Tensor, targets: Tensor) -> Tensor:
    """Return the mean squared difference. Raises ConfigError if the shapes differ."""
    check_same_shape("l2", images, targets)
    return F.mse_loss(images, targets)


@RECONSTRUCTIONS.register("smooth_l1")
@full_precision
def smooth_l1(images: Tensor, targets: Tensor) -> Tensor:
    """Return the mean Huber loss with its threshold at 1. Raises ConfigError if the shapes differ."""
    check_same_shape("smooth_l1", images, targets)
    return F.smooth_l1_loss(images, targets)


class _PixelDistance(TermOptions):
    """Distance of the student's outputs from the target; pixels outside of the content count as equal.

    Attributes:
        outputs: Weights of the other outputs of networks with several, by name; 1 for those not named. The main output,
            which has the weight 1, is compared with the target, and others with the teacher's.
    """

    distance: ClassVar[str]

    outputs: dict[str, Weight] = Field(default_factory=dict)

    def build(self, networks: Networks) -> Term:
        """Return the term of the distance. Raises ConfigError if ``outputs`` names none of the networks."""
        for name in self.outputs:
            if name not in networks.others:
                known = f"known: {', '.join(networks.others)}" if networks.others else "there is only one"
                raise ConfigError(
                    f"{self.kind}: outputs: got '{name}', expected an output beside the main one; {known}"
                )
        distance = RECONSTRUCTIONS[self.distance]
        weights = {name: self.outputs.get(name, 1.0) for name in networks.others}

        def loss(c: Comparison) -> Tensor:
            others = [weights[name] * distance(*pair) for name, pair in c.others.items() if weights[name]]
            return sum(others, distance(*c.of_content))

        return Term(loss)


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
