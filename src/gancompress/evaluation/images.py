"""Preprocessing of images for the network of a metric: quantization to 8 bits, then resizing."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from gancompress.errors import MetricError, NotFiniteError, nearest

Size = tuple[int, int]
"""Height and width in pixels."""

ROUNDING_SLACK = 1 / 1024
"""In grey levels. Keeps a stored image that went to [-1, 1] and back from falling below its level by rounding."""


def _check_images(images: Tensor) -> None:
    if images.ndim != 4 or images.shape[1] != 3 or not (images.dtype == torch.uint8 or images.is_floating_point()):
        raise MetricError(
            f"images: got {images.dtype} of shape {tuple(images.shape)}, expected [b, 3, h, w], RGB, floating point in "
            "[-1, 1] or uint8; convert them"
        )


def quantize(images: Tensor, rounding: str = "nearest") -> Tensor:
    """Return the 8-bit images that would be stored.

    Args:
        images: [b, 3, h, w], RGB, floating point in [-1, 1]; values outside are clipped. uint8 passes unchanged.
        rounding: "nearest", or "down" as in the evaluation of the compression papers.

    Returns:
        uint8 of the same shape.

    Raises:
        MetricError: The images have another shape or kind, or are not finite, or there is no such rounding.
    """
    _check_images(images)
    if rounding not in ("nearest", "down"):
        raise MetricError(f"images: got rounding '{rounding}', expected 'nearest' or 'down'; choose one")
    if images.dtype == torch.uint8:
        return images
    if not images.isfinite().all():
        raise NotFiniteError(
            "images: got values that are not finite, expected [-1, 1]; the generator diverged: look at its losses"
        )
    levels = (images.float() + 1) * 127.5
    levels = levels.round() if rounding == "nearest" else (levels + ROUNDING_SLACK).floor()
    return levels.clamp(0, 255).to(torch.uint8)


def _bilinear(images: Tensor, size: Size) -> Tensor:
    return F.interpolate(images.float() / 255, size=size, mode="bilinear", align_corners=False)


def _bicubic_antialiased(images: Tensor, size: Size) -> Tensor:
    # Pillow's bicubic filter; it overshoots, and Pillow clips.
    resized = F.interpolate(images.float(), size=size, mode="bicubic", align_corners=False, antialias=True)
    return resized.clamp(0, 255) / 255


RESIZES: dict[str, tuple[str, Callable[[Tensor, Size], Tensor]]] = {
    # pytorch-fid and the compression papers: aliases when it shrinks.
    "paper": ("down", _bilinear),
    # Recommended by Parmar et al., On Aliased Resizing and Surprising Subtleties in GAN Evaluation, CVPR 2022.
    "clean": ("nearest", _bicubic_antialiased),
}
"""Preprocessing by name: rounding of grey levels, and resizing of uint8 to a float input in [0, 1]."""

RESIZE_WORDS = {
    "paper": "8 bits rounded down, bilinear without antialiasing",
    "clean": "8 bits rounded to nearest, antialiased bicubic",
}


def resize(images: Tensor, size: Size | None, protocol: str = "clean") -> Tensor:
    """Preprocess images for the network of a metric.

    Args:
        images: [b, 3, h, w], RGB, floating point in [-1, 1] or uint8.
        size: Height and width of its input; None leaves images at their size.
        protocol: A name in `RESIZES`.

    Returns:
        float32 in [0, 1], [b, 3, *size].

    Raises:
        MetricError: There is no such protocol, or `quantize` rejects the images.
    """
    if protocol not in RESIZES:
        raise MetricError(f"resizing: got '{protocol}', expected a known one; {nearest(protocol, RESIZES)}")
    rounding, to_size = RESIZES[protocol]
    stored = quantize(images, rounding)
    if size is None or size == tuple(stored.shape[-2:]):
        return stored.float() / 255
    return to_size(stored, size)
