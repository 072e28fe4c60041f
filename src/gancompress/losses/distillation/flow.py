"""Flow of the solution procedure: how a network's early maps turn into its later ones."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from gancompress.errors import ConfigError
from gancompress.losses.shapes import check_same_shape
from gancompress.models.trunks.precision import full_precision


@full_precision
def fsp_matrix(early: Tensor, late: Tensor) -> Tensor:
    """Correlation of two layers' channels over positions, [b, c1, c2].

    Args:
        early: [b, c1, h1, w1].
        late: [b, c2, h2, w2]. The larger of the two is max-pooled to the size of the smaller.

    Source: Yim et al., A Gift from Knowledge Distillation, CVPR 2017, eq. 1.
    """
    size = (min(early.shape[2], late.shape[2]), min(early.shape[3], late.shape[3]))
    early, late = (x if x.shape[2:] == size else F.adaptive_max_pool2d(x, size) for x in (early, late))
    return early.flatten(2) @ late.flatten(2).mT / (size[0] * size[1])


def fsp_loss(student: Sequence[tuple[Tensor, Tensor]], teacher: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
    """Squared Frobenius distance of the flow matrices, averaged over images, summed over the pairs of layers.

    Args:
        student: Pairs of an early and a late map, with the teacher's numbers of channels (adapted, if need be).
        teacher: The same pairs of the teacher; no gradient flows into them.

    Raises:
        ConfigError: There are no pairs, not as many of both, or channels differ.

    Source: Yim et al., CVPR 2017, eq. 2.
    """
    if not student or len(student) != len(teacher):
        raise ConfigError(
            f"fsp: got {len(student)} pairs of layers of the student and {len(teacher)} of the teacher, expected as "
            "many of both and at least one; tap the same layers"
        )
    losses = []
    for student_pair, teacher_pair in zip(student, teacher, strict=True):
        flow, target = fsp_matrix(*student_pair), fsp_matrix(*teacher_pair).detach()
        check_same_shape("fsp", flow, target)
        losses.append((flow - target).square().sum((1, 2)).mean())
    return torch.stack(losses).sum()
