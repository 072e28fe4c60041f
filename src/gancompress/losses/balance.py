"""Balancing of an adversarial term against the other terms, by their gradients at the generated image."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from gancompress.losses.processes import norms_over_processes

_SMALLEST_NORM = 1e-12


class Balance(NamedTuple):
    """An adversarial term bounded by its gradient at a generated image.

    Attributes:
        term: The adversarial term multiplied by ``factor``. Its gradient flows only to the image and is the one of the
            ratio: backward does not run the discriminator again.
        factor: A scalar in (0, 1] to multiply the adversarial term with; no gradient flows through it.
        ratio: Norm of the adversarial gradient, before it is multiplied, divided by that of the other terms.
    """

    term: Tensor
    factor: Tensor
    ratio: Tensor


def balance_gradients(adversarial: Tensor, others: Tensor, image: Tensor, bound: float) -> Balance | None:
    """Keep an adversarial gradient below a fraction of the gradient of the other terms.

    Args:
        adversarial: The weighted adversarial term, a scalar that depends on trained parameters only through the image.
        others: The sum of the other weighted terms, a scalar.
        image: The generated images [b, c, h, w] that both were computed from, in any range. Of several processes
            the norms are those of all their images.
        bound: Upper bound of the adversarial gradient's norm, as a fraction of that of the other terms.

    Returns:
        The balance; None if no other term depends on the image.

    Source: Esser et al., Taming Transformers for High-Resolution Image Synthesis, CVPR 2021, eq. 7. There the weight
    equals the ratio of two gradients at the last layer. Here it is taken at the image and only ever lowered.
    """
    if not others.requires_grad:
        return None
    (other,) = torch.autograd.grad(others, image, retain_graph=True, allow_unused=True)
    if other is None:
        return None
    (gradient,) = torch.autograd.grad(adversarial, image, retain_graph=True)
    gradient = gradient.float()
    norms = norms_over_processes(torch.stack([gradient.norm(), other.float().norm()]))
    ratio = norms[0] / norms[1].clamp_min(_SMALLEST_NORM)
    factor = (bound / ratio.clamp_min(_SMALLEST_NORM)).clamp_max(1.0)
    slope = (image * (factor * gradient)).sum()
    return Balance(slope + (factor * adversarial - slope).detach(), factor, ratio)
