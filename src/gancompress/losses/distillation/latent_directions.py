"""Latent-direction relation: how images change among one another when their latents move."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from gancompress.losses.distillation.taps import check_taps
from gancompress.models.trunks.precision import full_precision

Maps = Mapping[str, Tensor]


def latent_direction_loss(student: Maps, moved: Maps, teacher: Maps, teacher_moved: Maps) -> Tensor:
    """Kullback-Leibler divergence of the student's relations from the teacher's, a mean over images, a sum over layers.

    The relations of an image are the softmax of the cosines between its map and those of all images of the batch after
    their latents moved. Nothing is learned, so that widths may differ.

    Args:
        student: Maps [b, c, h, w] by layer.
        moved: The same after the move.
        teacher: Maps of the same layers and images, of any width; no gradient flows into them.
        teacher_moved: The same after the move.

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
    """Logarithm of an image's relations to all moved ones, [b, b]."""
    before, after = F.normalize(maps.flatten(1), dim=1), F.normalize(moved.flatten(1), dim=1)
    return F.log_softmax(before @ after.mT, dim=1)
