"""Outputs of a network by name, and the image among them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor
from torch.utils._pytree import tree_flatten_with_path, tree_leaves

OUTPUT = "output"


def tensors_of(result: Any) -> list[Tensor]:
    """Return the tensors of a network's result, in order: a tensor, or nested tuples, lists and dictionaries."""
    return [leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor)]


def named_outputs(result: Any, taken: Sequence[str] = ()) -> dict[str, Tensor]:
    """Return the tensors of a network's result by name, in order.

    A single tensor is "output". Values of a dictionary and fields of a named tuple have the names of these, items of a
    tuple or list their places: "output_0", "output_1_0" for the first item of the second one.

    Args:
        result: A tensor, or nested tuples, lists and dictionaries of tensors.
        taken: Names that no output gets, such as those of the inputs.
    """
    named: dict[str, Tensor] = {}
    for path, leaf in tree_flatten_with_path(_plain(result))[0]:
        if isinstance(leaf, Tensor):
            parts = [str(getattr(key, "key", getattr(key, "name", getattr(key, "idx", "")))) for key in path]
            name = "_".join(parts)
            if not parts or parts[0].isdigit() or name in taken:
                name = "_".join([OUTPUT, *parts])
            named[name] = leaf
    return named


def _plain(result: Any) -> Any:
    """Return a result with plain dictionaries instead of their subclasses, whose keys PyTorch may not know."""
    if isinstance(result, Mapping):
        return {name: _plain(each) for name, each in result.items()}
    return [_plain(each) for each in result] if type(result) in (list, tuple) else result


def image_place(tensors: Sequence[Tensor]) -> int:
    """Return the place of the image among the outputs of a network: the first floats [b, c, ..], else the first tensor.

    Networks are compared on the image alone where one figure is wanted, such as a PSNR.
    """
    return next((i for i, each in enumerate(tensors) if each.is_floating_point() and each.dim() > 2), 0)


def other_outputs(result: Any) -> dict[str, Tensor]:
    """Return the outputs of floats other than the image, by name."""
    named = named_outputs(result)
    place = image_place(list(named.values()))
    return {name: each for i, (name, each) in enumerate(named.items()) if i != place and each.is_floating_point()}


def image_of(result: Any) -> Tensor:
    """Return the image of a network's result; see `image_place`."""
    tensors = tensors_of(result)
    return tensors[image_place(tensors)]
