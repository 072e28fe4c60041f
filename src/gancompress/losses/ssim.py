"""Structural dissimilarity."""

from __future__ import annotations

from torch import Tensor

from gancompress.models.trunks import ssim


def ssim_loss(images: Tensor, targets: Tensor) -> Tensor:
    """1 - SSIM, averaged over the batch; 0 is equal.

    Args:
        images: [b, c, h, w] in [-1, 1], sides of at least 11 px.
        targets: The same.

    Raises:
        InputSizeError: The shapes differ, or a side is too small.

    Source: Ren et al., OMGD, ICCV 2021, eq. 3; Wang et al., IEEE TIP 2004.
    """
    return 1 - ssim((images + 1) / 2, (targets + 1) / 2).mean()
