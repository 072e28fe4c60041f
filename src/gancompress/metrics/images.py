"""From a generator's images to what a network of a metric sees: 8 bits, then its size."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from gancompress.errors import MetricError, NotFiniteError, nearest

Size = tuple[int, int]
"""Height and width in pixels."""

ROUNDING_SLACK = 1 / 1024
"""In grey levels. A stored image that went to [-1, 1] and back must not fall below its level by a rounding error."""


def _check_images(images: Tensor) -> None:
    if images.ndim != 4 or images.shape[1] != 3 or not (images.dtype == torch.uint8 or images.is_floating_point()):
        raise MetricError(
            f"images: got {images.dtype} of shape {tuple(images.shape)}, expected [b, 3, h, w], RGB, floating point in "
            "[-1, 1] or uint8; convert them"
        )


def quantize(images: Tensor, rounding: str = "nearest") -> Tensor:
    """The 8-bit images that would be stored.

    Args:
        images: [b, 3, h, w], RGB, floating point in [-1, 1]; what lies outside is clipped. uint8 passes unchanged.
        rounding: "nearest", or "down" as the evaluation of the compression papers does.

    Returns:
        uint8 of the same shape.

    Raises:
        MetricError: They are of another shape or kind, or not finite, or there is no such rounding.
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
    # Pillow's bicubic filter; it overshoots, and Pillow's users clip.
    resized = F.interpolate(images.float(), size=size, mode="bicubic", align_corners=False, antialias=True)
    return resized.clamp(0, 255) / 255


RESIZES: dict[str, tuple[str, Callable[[Tensor, Size], Tensor]]] = {
    # As pytorch-fid and with it the compression papers do: aliasing when it shrinks.
    "paper": ("down", _bilinear),
    # As Parmar et al., On Aliased Resizing and Surprising Subtleties in GAN Evaluation, CVPR 2022, recommend.
    "clean": ("nearest", _bicubic_antialiased),
}
"""Named ways from images to a network's input: how grey levels are rounded, and how uint8 becomes [0, 1] of a size."""

RESIZE_WORDS = {
    "paper": "8 bits rounded down, bilinear without antialiasing",
    "clean": "8 bits rounded to nearest, antialiased bicubic",
}


def resize(images: Tensor, size: Size | None, protocol: str = "clean") -> Tensor:
    """What a network of a metric sees.

    Args:
        images: [b, 3, h, w], RGB, floating point in [-1, 1] or uint8.
        size: Height and width it wants; None leaves them.
        protocol: A name in `RESIZES`.

    Returns:
        float32 in [0, 1], [b, 3, *size].

    Raises:
        MetricError: There is no such protocol, or as `quantize`.
    """
    if protocol not in RESIZES:
        raise MetricError(f"resizing: got '{protocol}', expected a known one; {nearest(protocol, RESIZES)}")
    rounding, to_size = RESIZES[protocol]
    stored = quantize(images, rounding)
    if size is None or size == tuple(stored.shape[-2:]):
        return stored.float() / 255
    return to_size(stored, size)
