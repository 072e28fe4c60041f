"""Terms of translation between two domains without pairs: cycle consistency and identity.

Source: Zhu et al., CycleGAN, ICCV 2017, equation 2 and section 5.2.
"""

from __future__ import annotations

from gancompress.losses.reconstruction import RECONSTRUCTIONS, Distance
from gancompress.losses.term import Networks, Term, TermOptions, register_term


class _SameDomain(TermOptions):
    """Distance of two images of one domain, computed in both directions.

    Attributes:
        distance: Pixel distance, a name in `RECONSTRUCTIONS` or an import path.
    """

    distance: Distance = "l1"

    def build(self, networks: Networks) -> Term:
        """Return the term of the distance."""
        distance = RECONSTRUCTIONS.find(self.distance)
        return Term(lambda c: distance(c.image, c.target))


@register_term
class Cycle(_SameDomain):
    """Distance of an image from its translation to the other domain and back."""

    kind = compares = "cycle"


@register_term
class Identity(_SameDomain):
    """Distance of an image of the target domain from its translation into that domain."""

    kind = compares = "identity"
