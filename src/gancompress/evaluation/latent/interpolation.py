"""Linear and spherical interpolation between two latents."""

from __future__ import annotations

from torch import Tensor


def lerp(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """Interpolate along the line from ``a`` to ``b``.

    Args:
        a: Start [b, n].
        b: End [b, n].
        t: Position [b, 1]; 0 is ``a`` and 1 is ``b``.
    """
    return a + (b - a) * t


def slerp(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """Interpolate along the arc from ``a`` to ``b``, with linear interpolation of lengths; arguments as in `lerp`.

    Generators that normalise their noise, as StyleGANs do, ignore the lengths, and this is the published interpolation
    between unit vectors; other generators get noise of the length that they were trained on.

    Source: Shoemake, Animating Rotation with Quaternion Curves, SIGGRAPH 1985, section 3.3; White, Sampling Generative
    Networks, 2016.
    """
    length_a, length_b = a.norm(dim=1, keepdim=True), b.norm(dim=1, keepdim=True)
    a, b = a / length_a, b / length_b
    cosine = (a * b).sum(1, keepdim=True).clamp(-1, 1)
    across = b - cosine * a
    across = across / across.norm(dim=1, keepdim=True)
    angle = t * cosine.acos()
    return lerp(length_a, length_b, t) * (a * angle.cos() + across * angle.sin())
