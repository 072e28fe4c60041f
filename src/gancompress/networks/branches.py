"""Convolutions that replace re-parameterised blocks, described so that a saved network can be built again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

from torch import nn

from gancompress.errors import CheckpointError

_LAYER = "folded"
"""Name of the convolution beside the child that follows it."""
_LAYERS: dict[int, type[nn.Conv1d | nn.Conv2d]] = {1: nn.Conv1d, 2: nn.Conv2d}


@dataclass(frozen=True)
class FoldedBlock:
    """Convolution that replaces a re-parameterised block; one number of each tuple for each spatial axis.

    Attributes:
        in_channels: Channels of its input.
        out_channels: Channels of its output.
        kernel_size: Size of its kernel.
        stride: Its stride.
        padding: Zeros on both sides.
        groups: Groups of channels.
        bias: Whether it has a bias.
        tail: Name of the child of the block that runs on its output, such as an activation; empty for none.
    """

    in_channels: int
    out_channels: int
    kernel_size: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    groups: int
    bias: bool
    tail: str = ""

    @classmethod
    def of(cls, replacement: nn.Module) -> Self:
        """Return the description of what `instead_of` returned, at its widths."""
        tail = list(replacement._modules)[1] if isinstance(replacement, nn.Sequential) else ""
        layer = getattr(replacement, _LAYER) if tail else replacement
        values = {name: getattr(layer, name) for name in _arguments()}
        return cls(**{**values, "bias": values["bias"] is not None}, tail=tail)

    @classmethod
    def from_description(cls, description: Mapping[str, Any]) -> Self:
        """Read a description from a file. Raises CheckpointError if it is not one."""
        values: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in description.items()}
        try:
            folded = cls(**values)
            folded.layer()
        except (TypeError, ValueError, KeyError, RuntimeError) as error:
            raise CheckpointError(f"folded: got {dict(description)}, expected a convolution: {error}") from None
        return folded

    def layer(self) -> nn.Module:
        """Return the convolution with fresh weights."""
        return _LAYERS[len(self.kernel_size)](**{name: getattr(self, name) for name in _arguments()})

    def instead_of(self, block: nn.Module, layer: nn.Module | None = None) -> nn.Module:
        """Return the module that replaces a block: the convolution, with the child of the block that follows it.

        Args:
            block: The block.
            layer: The convolution; one of fresh weights by default.

        Raises:
            AttributeError: The block has no such child.
        """
        replacement = self.layer() if layer is None else layer
        if self.tail:
            replacement = nn.Sequential(OrderedDict({_LAYER: replacement, self.tail: block.get_submodule(self.tail)}))
        replacement.is_folded_block = True  # type: ignore[assignment]
        return replacement.train(block.training)


def _arguments() -> list[str]:
    """Return the names of the arguments of a convolution."""
    return [each.name for each in fields(FoldedBlock) if each.name != "tail"]


def replace_blocks(network: nn.Module, folded: Mapping[str, FoldedBlock]) -> nn.Module:
    """Replace blocks of a network by convolutions of fresh weights, in place, and return the network.

    Raises:
        AttributeError: The network has no such block.
    """
    for path, block in folded.items():
        network.set_submodule(path, block.instead_of(network.get_submodule(path)))
    return network


def folded_of(network: nn.Module) -> dict[str, FoldedBlock]:
    """Return the convolutions of a network that replaced blocks, by path of the block."""
    return {
        path: FoldedBlock.of(each) for path, each in network.named_modules() if getattr(each, "is_folded_block", False)
    }


def said_of(paths: Collection[str]) -> str:
    """Return a line about folded blocks: ``2 re-parameterised blocks folded: body.0, body.1``."""
    return f"{len(paths)} re-parameterised block{'s' * (len(paths) != 1)} folded: {', '.join(paths)}"
