"""Kernel alignment: match similarities among the images of a batch in the features of student and teacher."""

from __future__ import annotations

import torch
from torch import Tensor

from gancompress.errors import ConfigError
from gancompress.losses.taps import check_taps
from gancompress.losses.term import Maps, Networks, TappedOptions, Term, register_term
from gancompress.perception.precision import full_precision


@full_precision
def kernel_alignment(x: Tensor, y: Tensor) -> Tensor:
    """Return the cosine between the linear kernels of two sets of features of the same items, in [0, 1].

    Args:
        x: [n, p].
        y: [n, q].

    Raises:
        ConfigError: The numbers of items differ, or there are fewer than two: one item is aligned with anything.

    Source: Jin et al., Teachers Do More Than Teach (CAT), CVPR 2021, eq. 1.
    """
    if len(x) != len(y) or len(x) < 2:
        raise ConfigError(
            f"kernel alignment: got features of {len(x)} and {len(y)} images, expected as many of both and "
            "at least two; raise the batch size"
        )
    kernel_x, kernel_y = x @ x.T, y @ y.T
    return (kernel_x * kernel_y).sum() / (kernel_x.norm() * kernel_y.norm())


def kernel_alignment_loss(student: Maps, teacher: Maps) -> Tensor:
    """Return the sum over layers of 1 - alignment, over the images of the batch; the paper's loss plus a constant.

    Args:
        student: Maps [b, c, h, w] by layer, ``b`` at least 2.
        teacher: Maps of the same layers, of any width and size; no gradient flows into them.

    Raises:
        ConfigError: Layers do not pair up, or batches are too small or differ.

    Source: Jin et al., CAT, CVPR 2021, eq. 4.
    """
    check_taps("kernel alignment", teacher, student=student)
    losses = [1 - kernel_alignment(student[tap].flatten(1), teacher[tap].detach().flatten(1)) for tap in teacher]
    return torch.stack(losses).sum()


@register_term
class KernelAlignment(TappedOptions):
    """Misalignment of the kernels of feature maps over a batch of at least two images. It has no learned layers."""

    kind = "kernel_alignment"

    def build(self, networks: Networks) -> Term:
        """Return the term of `kernel_alignment_loss`."""
        return Term(lambda c: kernel_alignment_loss(c.maps, c.teacher_maps))
