"""Feature matching: distance of the discriminator's feature maps for the generated and the real image."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from gancompress.errors import ConfigError
from gancompress.losses.reconstruction import l1
from gancompress.losses.term import Networks, Term, TermOptions, register_term


def feature_matching(fake: Sequence[Sequence[Tensor]], real: Sequence[Sequence[Tensor]]) -> Tensor:
    """Return the L1 distance between a discriminator's feature maps, summed over its layers, averaged over its scales.

    Args:
        fake: For each scale the feature maps of the generated image, the logits last; logits are not compared.
        real: Feature maps of the real image; no gradient flows into them.

    Raises:
        ConfigError: The numbers of scales or maps differ.

    Source: Wang et al., pix2pixHD, CVPR 2018, eq. 4, scaled as in Park et al., SPADE, CVPR 2019, appendix A.
    """
    if not (_are_maps(fake) and _are_maps(real)):
        raise ConfigError(
            "feature matching: got a discriminator that returns logits alone, expected one that returns the feature "
            "maps of each of its scales; take multiscale_patchgan, or leave feature matching out"
        )
    if not fake or [len(maps) for maps in fake] != [len(maps) for maps in real]:
        raise ConfigError(
            f"feature matching: got {[len(maps) for maps in fake]} and {[len(maps) for maps in real]} maps per scale, "
            "expected as many of both images; let the discriminator return its feature maps"
        )
    per_scale = [
        torch.stack([l1(x, y.detach()) for x, y in zip(fake_maps[:-1], real_maps[:-1], strict=True)]).sum()
        for fake_maps, real_maps in zip(fake, real, strict=True)
    ]
    return torch.stack(per_scale).mean()


def _are_maps(output: object) -> bool:
    """Return whether an output is the feature maps of each scale, and not logits."""
    return isinstance(output, Sequence) and all(isinstance(scale, Sequence) for scale in output)


@register_term
class FeatureMatching(TermOptions):
    """L1 between the discriminator's feature maps for the student's image and for the real one."""

    kind = "feature_matching"
    compares = "discriminator_maps"

    def build(self, networks: Networks) -> Term:
        """Return the term of `feature_matching`."""
        return Term(lambda c: feature_matching(c.logits, c.real_logits))
