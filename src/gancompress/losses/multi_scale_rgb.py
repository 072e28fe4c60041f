"""Multi-scale RGB distance, between the images that a generator returns at every resolution."""

from __future__ import annotations

import torch

from gancompress.losses.reconstruction import RECONSTRUCTIONS, Distance
from gancompress.losses.term import Networks, TappedOptions, Term, register_term


@register_term
class MultiScaleRgb(TappedOptions):
    """Pixel distance of the RGB outputs of both networks at every resolution, summed over the resolutions.

    Attributes:
        distance: Distance of the pixels, a mean over those of each output.

    Source: Liu et al., Content-Aware GAN Compression, CVPR 2021, section 3.3.
    """

    kind = "multi_scale_rgb"
    compares = "rgb"

    distance: Distance = "l1"

    def build(self, networks: Networks) -> Term:
        """Return the term of the summed distances."""
        distance = RECONSTRUCTIONS.find(self.distance)
        return Term(lambda c: torch.stack([distance(x, c.teacher_maps[tap]) for tap, x in c.maps.items()]).sum())
