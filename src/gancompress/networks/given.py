"""Inputs of networks: a tensor, or several tensors by the names of the arguments of ``forward``."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from gancompress.errors import ConfigError, nearest


class NamedInputs:
    """Several inputs of a network by name, each a tensor [b, ...]. It moves and divides like a tensor.

    Attributes:
        tensors: The inputs by the names of the arguments of ``forward``.
    """

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        self.tensors = dict(tensors)

    def __len__(self) -> int:
        """Return the batch size."""
        return len(next(iter(self.tensors.values())))

    def __getitem__(self, part: slice) -> NamedInputs:
        """Return the items of a part of the batch."""
        return NamedInputs({name: tensor[part] for name, tensor in self.tensors.items()})

    def to(self, device: torch.device | str) -> NamedInputs:
        """Return the inputs on a device."""
        return NamedInputs({name: tensor.to(device) for name, tensor in self.tensors.items()})

    @property
    def nbytes(self) -> int:
        """Bytes of all tensors."""
        return sum(tensor.nbytes for tensor in self.tensors.values())


Given = Tensor | NamedInputs
"""Input of a network: one tensor [b, ...], or several by name."""

pytree.register_pytree_node(
    NamedInputs,
    lambda given: (list(given.tensors.values()), tuple(given.tensors)),
    lambda tensors, names: NamedInputs(dict(zip(names, tensors, strict=True))),
    serialized_type_name="gancompress.NamedInputs",
)


def call(network: Callable[..., Any], given: Given, **keywords: Any) -> Any:
    """Run a network, or a `gancompress.channels.SubNetwork`, on its inputs. Raises ConfigError as `arguments`."""
    return network(*arguments(network, given), **keywords)


def arguments(network: Callable[..., Any], given: Given) -> tuple[Tensor, ...]:
    """Return the inputs in the order of the arguments of the network's ``forward``.

    Raises:
        ConfigError: A name is no argument, or an argument before it has no value.
    """
    return (given,) if isinstance(given, Tensor) else tuple(given.tensors[name] for name in order(network, given))


def order(network: Callable[..., Any], given: NamedInputs) -> tuple[str, ...]:
    """Return the names of inputs in the order of the network's arguments. Raises ConfigError as `arguments`."""
    names = argument_names(network)
    for name in given.tensors:
        if name not in names:
            raise ConfigError(
                f"inputs: got '{name}' of the data, expected arguments of the network's forward; "
                f"{nearest(name, names)}; name the data's fields after them"
            )
    taken = [name for name in names if name in given.tensors]
    skipped = [name for name in names[: names.index(taken[-1])] if name not in given.tensors]
    if skipped:
        raise ConfigError(
            f"inputs: got {', '.join(taken)} of the data, expected {', '.join(skipped)} too, which the network's "
            "forward takes before the last of them"
        )
    return tuple(taken)


def argument_names(network: Callable[..., Any]) -> list[str]:
    """Return the names of the positional arguments of a network's ``forward``."""
    structure = getattr(network, "structure", network)
    taken = inspect.signature(getattr(structure, "forward", structure)).parameters.values()
    return [each.name for each in taken if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)]


def tensors_in(given: Given) -> list[Tensor]:
    """Return all tensors of inputs."""
    return [given] if isinstance(given, Tensor) else list(given.tensors.values())


def sizes(given: Given) -> str:
    """Return the shapes of inputs as text, such as "1x3x256x256"."""
    return ", ".join("x".join(map(str, each.shape)) for each in tensors_in(given))


def one_tensor(given: Given, where: str) -> Tensor:
    """Return the input of a network of one input.

    Args:
        given: The inputs.
        where: Beginning of the message.

    Raises:
        ConfigError: There are several.
    """
    if isinstance(given, NamedInputs):
        raise ConfigError(f"{where}: got the inputs {', '.join(given.tensors)}, expected a network of one input")
    return given


def joined(batches: Sequence[Given]) -> Given:
    """Return batches of inputs as one batch."""
    if isinstance(batches[0], NamedInputs):
        parts = [each.tensors for each in batches if isinstance(each, NamedInputs)]
        return NamedInputs({name: torch.cat([part[name] for part in parts]) for name in parts[0]})
    return torch.cat([each for each in batches if isinstance(each, Tensor)])
