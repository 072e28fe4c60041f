"""Structural similarity: local means, variances and covariance under a fixed Gaussian window."""

from __future__ import annotations

import torch
from torch import Tensor

from gancompress.errors import InputSizeError
from gancompress.perception.precision import full_precision

WINDOW_PX = 11
SIGMA_PX = 1.5
C1, C2 = 0.01**2, 0.03**2
OFFSET = 0.5


@full_precision
def ssim(images: Tensor, targets: Tensor) -> Tensor:
    """Return the mean structural similarity of each pair, over channels and positions with the window inside the image.

    Args:
        images: [b, c, h, w] in [0, 1], both sides at least 11 px. The formula is not symmetric about 0: images in
            [-1, 1] give another value.
        targets: Images of the same shape and range.

    Returns:
        Similarities, shape ``(b,)``, in [-1, 1]; 1 for equal images. Differentiable.

    Raises:
        InputSizeError: The shapes differ, or a side is smaller than the window.

    Source: Wang et al., Image Quality Assessment: From Error Visibility to Structural Similarity, IEEE TIP 2004, eq.
    13, with the Gaussian window of section III-C.
    """
    if images.shape != targets.shape or min(images.shape[-2:]) < WINDOW_PX:
        raise InputSizeError(
            f"ssim: got images of shapes {tuple(images.shape)} and {tuple(targets.shape)}, expected equal ones with "
            f"sides of at least {WINDOW_PX} px; resize them"
        )
    down, across = (_blur_matrix(side, images.dtype, images.device) for side in images.shape[-2:])

    def blur(x: Tensor) -> Tensor:
        return down @ x @ across.T

    # Variances do not change with an offset; values around 0 lose less precision to rounding.
    x, y = images - OFFSET, targets - OFFSET
    mean_x, mean_y = blur(x), blur(y)
    var_x = blur(x * x) - mean_x.square()
    var_y = blur(y * y) - mean_y.square()
    cov = blur(x * y) - mean_x * mean_y
    mean_x, mean_y = mean_x + OFFSET, mean_y + OFFSET
    luminance = (2 * mean_x * mean_y + C1) / (mean_x.square() + mean_y.square() + C1)
    structure = (2 * cov + C2) / (var_x + var_y + C2)
    return (luminance * structure).flatten(1).mean(1)


def _blur_matrix(side: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return the matrix [side - 10, side] that blurs an axis, with the window at one position in each row.

    On the CPU, gradients of one-channel convolutions take 4 to 20 times as long as those of this product, for images of
    64 to 512 px.
    """
    offsets = torch.arange(side, device=device) - torch.arange(side - WINDOW_PX + 1, device=device)[:, None]
    distances = (offsets - WINDOW_PX // 2).to(dtype)
    weights = (-distances.square() / (2 * SIGMA_PX**2)).exp() * ((offsets >= 0) & (offsets < WINDOW_PX))
    return weights / weights.sum(1, keepdim=True)
