"""Noise that some generators add inside, beside their input: how several of them get the same.

Networks are compared on what they make of the same input. One that draws noise of its own would differ even from its
copy, so what runs several of them draws once and gives all the same maps as keywords of ``forward``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from torch import Tensor, nn


@runtime_checkable
class AddsNoise(Protocol):
    """A generator whose ``forward`` takes noise maps as ``noise``, one [b or 1, 1, h, w] for each layer that adds one.

    A class of the user's own is one when it has these methods. Narrow networks have maps of the same shapes as wide
    ones.
    """

    def new_noise(self, batch_size: int) -> Sequence[Tensor]:
        """Maps drawn from torch's global generator."""
        ...

    def own_noise(self) -> Sequence[Tensor]:
        """The maps that it holds, and adds in evaluation where none are given."""
        ...


def drawn_noise(first: nn.Module, second: nn.Module, batch_size: int) -> dict[str, Any]:
    """Keywords that give two networks the same new noise; none where one of them adds none.

    Args:
        first: Decides the shapes.
        second: Takes the same.
        batch_size: Images for which maps are drawn.
    """
    if isinstance(first, AddsNoise) and isinstance(second, AddsNoise):
        return {"noise": first.new_noise(batch_size)}
    return {}


def kept_noise(first: nn.Module, second: nn.Module) -> dict[str, Any]:
    """Keywords that give two networks the maps that the first one holds; none where one of them adds none."""
    if isinstance(first, AddsNoise) and isinstance(second, AddsNoise):
        return {"noise": first.own_noise()}
    return {}
