"""What the rewrites have in common: finding layers, putting others in their place, and saying which."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from torch import nn

Layer = TypeVar("Layer", bound=nn.Module)


@dataclass(frozen=True)
class Change:
    """What one rewrite changed.

    Attributes:
        rewrite: Its name.
        layers: Paths of the layers that it replaced.
        note: What it could not do and why, in a line; empty where there is nothing to say.
    """

    rewrite: str
    layers: tuple[str, ...]
    note: str = ""


Rewrite = Callable[[nn.Module], Change]
"""Changes a network in place, which computes the same afterwards, up to rounding."""


def replace_layers(
    network: nn.Module, kind: type[Layer], replacement: Callable[[Layer], nn.Module | None]
) -> tuple[str, ...]:
    """Put other layers in the place of those of a kind; a layer that is used twice is replaced by one layer.

    Args:
        network: Changed in place.
        kind: Exactly this class: a subclass may compute something else.
        replacement: Makes the new layer, or returns None to leave the old one.

    Returns:
        The paths of the layers that were replaced.
    """
    made: dict[nn.Module, nn.Module | None] = {}
    replaced = []
    for path, layer in list(network.named_modules(remove_duplicate=False)):
        if type(layer) is not kind or not path:
            continue
        if layer not in made:
            made[layer] = replacement(layer)
        new = made[layer]
        if new is not None:
            network.set_submodule(path, new)
            replaced.append(path)
    return tuple(replaced)


def same_on_both_axes(*sizes: tuple[int, ...] | str) -> bool:
    """Whether kernel, stride and the like are the same for height and width, and numbers."""
    return all(not isinstance(size, str) and len(set(size)) == 1 for size in sizes)
