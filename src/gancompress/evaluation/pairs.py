"""Similarity of each image to its own target: ground truth, or the teacher's image."""

from __future__ import annotations

import torch
from torch import Tensor

from gancompress.errors import MetricError
from gancompress.evaluation.images import quantize
from gancompress.perception import ssim

LARGEST_PSNR_DB = 100.0


def psnr(images: Tensor, targets: Tensor) -> Tensor:
    """Return the peak signal-to-noise ratio of each pair of stored 8-bit images, in dB.

    Args:
        images: [b, 3, h, w], RGB in [-1, 1] or uint8.
        targets: Images of the same shape.

    Returns:
        Shape ``(b,)``; equal images get 100 dB instead of infinity, so that means stay finite.

    Raises:
        MetricError: The images have another shape or kind, or differ in shape.
    """
    x, y = stored_pairs(images, targets)
    error = (x - y).square().mean((1, 2, 3))
    return (-10 * error.log10()).clamp_max(LARGEST_PSNR_DB)


def structural_similarity(images: Tensor, targets: Tensor) -> Tensor:
    """Return the SSIM of each pair of stored 8-bit images, channel by channel, window 11, sigma 1.5.

    Arguments, result and errors as in `psnr`; the value is at most 1.

    Source: Wang et al., Image Quality Assessment: From Error Visibility to Structural Similarity, IEEE TIP 2004.
    """
    return ssim(*stored_pairs(images, targets))


def stored_pairs(images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Return both as stored in 8 bits, float64 in [0, 1]. Raises MetricError as `psnr`."""
    if images.shape != targets.shape:
        raise MetricError(
            f"pairs: got images of shape {tuple(images.shape)} and targets of {tuple(targets.shape)}, expected equal "
            "ones; resize the targets"
        )
    return quantize(images).double() / 255, quantize(targets).to(images.device).double() / 255


def as_network_images(stored: Tensor) -> Tensor:
    """Convert images in [0, 1] to float32 in [-1, 1]."""
    return (stored * 2 - 1).to(torch.float32)
