"""Latent-direction relation: similarities among images before and after a step of their latents."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from gancompress.losses.taps import check_taps
from gancompress.losses.term import Comparison, Maps, Networks, TappedOptions, Term, register_term
from gancompress.perception.precision import full_precision


def latent_direction_loss(student: Maps, moved: Maps, teacher: Maps, teacher_moved: Maps) -> Tensor:
    """Return the KL divergence of the student's relations from the teacher's, a mean over images, a sum over layers.

    The relations of an image are the softmax of the cosines between its map and those of all images of the batch after
    a step of their latents. There are no learned layers, so widths may differ.

    Args:
        student: Maps [b, c, h, w] by layer.
        moved: The student's maps after the step.
        teacher: Maps of the same layers and images, of any width; no gradient flows into them.
        teacher_moved: The teacher's maps after the step.

    Raises:
        ConfigError: Layers do not fit.

    Source: Xu et al., Mind the Gap in Distilling StyleGANs, ECCV 2022, section 3.3, as released.
    """
    check_taps("latent directions", teacher, student=student)
    losses = []
    for tap, maps in student.items():
        ours, theirs = _log_relations(maps, moved[tap]), _log_relations(teacher[tap], teacher_moved[tap]).detach()
        losses.append(F.kl_div(ours, theirs, reduction="batchmean", log_target=True))
    return torch.stack(losses).sum()


@full_precision
def _log_relations(maps: Tensor, moved: Tensor) -> Tensor:
    """Return the logarithm of each image's relations to all images after the step, [b, b]."""
    before, after = F.normalize(maps.flatten(1), dim=1), F.normalize(moved.flatten(1), dim=1)
    return F.log_softmax(before @ after.mT, dim=1)


@register_term
class LatentDirections(TappedOptions):
    """Relations of images after a step of their latents; needs a second pass of both networks for each batch.

    Attributes:
        length: Length of the step, in a random direction for each image: of the style of a StyleGAN2, else of the
            noise.
    """

    kind = "latent_directions"

    length: Annotated[float, Field(gt=0)] = 5.0

    @property
    def latent_step(self) -> float:
        """Length of the step."""
        return self.length

    def build(self, networks: Networks) -> Term:
        """Return the term of `latent_direction_loss`."""

        def loss(c: Comparison) -> Tensor:
            assert c.moved_maps is not None
            assert c.moved_teacher_maps is not None
            return latent_direction_loss(c.maps, c.moved_maps, c.teacher_maps, c.moved_teacher_maps)

        return Term(loss)
