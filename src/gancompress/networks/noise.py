"""Noise that some generators add internally, and how several of them share it.

Networks are compared on outputs for the same input. A network that draws its own noise would differ even from its
copy, so callers draw noise once and pass the same maps to all networks as keywords of ``forward``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from torch import Tensor, nn


@runtime_checkable
class AddsNoise(Protocol):
    """A generator whose ``forward`` takes noise maps as ``noise``, one [b or 1, 1, h, w] for each layer that adds one.

    A user's class is one if it has these methods. Narrow networks have maps of the same shapes as wide ones.
    """

    def new_noise(self, batch_size: int) -> Sequence[Tensor]:
        """Draw maps from torch's global generator."""
        ...

    def own_noise(self) -> Sequence[Tensor]:
        """Return the stored maps, which are added in evaluation by default."""
        ...


def drawn_noise(first: nn.Module, second: nn.Module, batch_size: int) -> dict[str, Any]:
    """Return keywords that pass the same new noise to two networks; empty if one of them adds none.

    Args:
        first: Network whose maps determine the shapes.
        second: Network that gets the same maps.
        batch_size: Images for which maps are drawn.
    """
    if isinstance(first, AddsNoise) and isinstance(second, AddsNoise):
        return {"noise": first.new_noise(batch_size)}
    return {}


def kept_noise(first: nn.Module, second: nn.Module) -> dict[str, Any]:
    """Return keywords that pass the first network's stored maps to both; empty if one of them adds none."""
    if isinstance(first, AddsNoise) and isinstance(second, AddsNoise):
        return {"noise": first.own_noise()}
    return {}
