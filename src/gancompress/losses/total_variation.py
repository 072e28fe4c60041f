"""Total variation."""

from __future__ import annotations

from torch import Tensor

from gancompress.losses.term import Networks, Term, TermOptions, register_term
from gancompress.perception.precision import full_precision


@full_precision
def total_variation(images: Tensor) -> Tensor:
    """Return the mean absolute difference of vertical neighbours plus that of horizontal ones.

    It is a mean over positions, not a sum, so the weight does not depend on the size of images or batch.

    Args:
        images: [b, c, h, w].

    Source: Rudin et al., Nonlinear Total Variation, Physica D 1992, in its anisotropic form.
    """
    return images.diff(dim=-2).abs().mean() + images.diff(dim=-1).abs().mean()


@register_term
class TotalVariation(TermOptions):
    """Total variation of the student's image, a mean over pixels."""

    kind = "total_variation"
    compares = "nothing"

    def build(self, networks: Networks) -> Term:
        """Return the term of `total_variation`."""
        return Term(lambda c: total_variation(c.image))
