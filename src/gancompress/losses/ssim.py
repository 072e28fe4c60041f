"""Structural dissimilarity (1 - SSIM)."""

from __future__ import annotations

from torch import Tensor

from gancompress.losses.term import Networks, Term, TermOptions, register_term
from gancompress.perception import ssim


def ssim_loss(images: Tensor, targets: Tensor) -> Tensor:
    """Return 1 - SSIM, averaged over the batch; 0 for equal images.

    Args:
        images: [b, c, h, w] in [-1, 1], sides of at least 11 px.
        targets: Images of the same shape and range.

    Raises:
        InputSizeError: The shapes differ, or a side is too small.

    Source: Ren et al., OMGD, ICCV 2021, eq. 3; Wang et al., IEEE TIP 2004.
    """
    return 1 - ssim((images + 1) / 2, (targets + 1) / 2).mean()


@register_term
class Ssim(TermOptions):
    """Structural dissimilarity of the student's image and the target, 1 - SSIM."""

    kind = "ssim"

    def build(self, networks: Networks) -> Term:
        """Return the term of `ssim_loss`."""
        return Term(lambda c: ssim_loss(c.image, c.target))
