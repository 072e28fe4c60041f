"""Between two latents."""

from __future__ import annotations

from torch import Tensor


def lerp(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """Along the line from ``a`` to ``b``.

    Args:
        a: [b, n].
        b: The same.
        t: How far, [b, 1]; 0 is ``a``.
    """
    return a + (b - a) * t


def slerp(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """Along the arc from ``a`` to ``b``, whose lengths pass into one another linearly; arguments as those of `lerp`.

    Where a generator brings its noise to one length first, as StyleGANs do, the lengths do not matter, and this is the
    published interpolation between unit vectors; other generators get noise as long as what they have learned from.

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
