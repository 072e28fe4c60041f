"""Common parts of the rewrites: replacing layers, and reporting the changes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar, cast

from torch import nn

Layer = TypeVar("Layer", bound=nn.Module)


@dataclass(frozen=True)
class Change:
    """Change of a network by one rewrite.

    Attributes:
        rewrite: Its name.
        layers: Paths of the layers that it replaced.
        note: Reason that the rewrite could not be applied, in a line; empty if there is none.
    """

    rewrite: str
    layers: tuple[str, ...]
    note: str = ""


@dataclass(frozen=True)
class Rewrite:
    """Equivalent form of a network.

    Attributes:
        apply: Function that changes a network in place; its outputs stay the same, up to rounding.
        any_size: Whether it takes images of odd height or width.
        writes: Whether it may write into tensors, instead of replacing them.
    """

    apply: Callable[[nn.Module], Change]
    any_size: bool = True
    writes: bool = True


def replace_layers(
    network: nn.Module, kind: type[Layer], replacement: Callable[[Layer], nn.Module | None]
) -> tuple[str, ...]:
    """Replace the layers of a class; a layer that is used twice is replaced by one layer.

    Args:
        network: Changed in place.
        kind: Exactly this class, because a subclass may compute something else.
        replacement: Makes the new layer, or returns None to keep the old one.

    Returns:
        The paths of the layers that were replaced.
    """
    places: dict[int, list[str]] = {}
    for path, layer in network.named_modules(remove_duplicate=False):
        if type(layer) is kind and path:
            places.setdefault(id(layer), []).append(path)
    order = [path for paths in places.values() for path in paths]
    replaced = set[str]()
    for paths in places.values():
        # Nothing else holds the old layer, so that its weights are freed before the next ones are made.
        new = replacement(cast(Layer, network.get_submodule(paths[0])))
        for path in paths if new is not None else ():
            network.set_submodule(path, new)
            replaced.add(path)
    return tuple(path for path in order if path in replaced)


def same_on_both_axes(*sizes: tuple[int, ...] | str) -> bool:
    """Return whether kernel, stride and the like are numbers, and the same for height and width."""
    return all(not isinstance(size, str) and len(set(size)) == 1 for size in sizes)
