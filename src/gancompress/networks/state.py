"""Tensors that a network needs: comparison with those in a file, and use of these without a copy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

Shapes = Mapping[str, tuple[int, ...]]
"""Shape of every tensor, by name."""

_NUM_LISTED = 3


def shapes_of(tensors: Mapping[str, Tensor] | nn.Module) -> dict[str, tuple[int, ...]]:
    """Return the shape of every tensor of a state dict, or of a module's state dict."""
    state: Mapping[str, Tensor] = tensors.state_dict() if isinstance(tensors, nn.Module) else tensors
    return {name: tuple(tensor.shape) for name, tensor in state.items() if isinstance(tensor, Tensor)}


@dataclass(frozen=True)
class Mismatch:
    """Difference between expected and actual tensors; false if there is none.

    Attributes:
        num_matched: Number of tensors that are present with the right shape.
        missing: Names that were expected but not found.
        unexpected: Names that were found but not expected.
        reshaped: Names with found and expected shape.
    """

    num_matched: int
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    reshaped: tuple[str, ...]

    @classmethod
    def between(cls, expected: Shapes, got: Shapes) -> Mismatch:
        """Compare names and shapes."""
        common = [name for name in expected if name in got]
        reshaped = [
            f"{name}: got {_size(got[name])}, expected {_size(expected[name])}"
            for name in common
            if got[name] != expected[name]
        ]
        return cls(
            num_matched=len(common) - len(reshaped),
            missing=tuple(name for name in expected if name not in got),
            unexpected=tuple(name for name in got if name not in expected),
            reshaped=tuple(reshaped),
        )

    def __bool__(self) -> bool:
        """Return whether there is any difference."""
        return bool(self.missing or self.unexpected or self.reshaped)

    @property
    def agreement(self) -> float:
        """Share of all names, expected or found, that match in name and shape; in [0, 1]."""
        differing = len(self.missing) + len(self.unexpected) + len(self.reshaped)
        return self.num_matched / max(1, self.num_matched + differing)

    def __str__(self) -> str:
        """Return the kinds of difference, each with a few names."""
        parts = {"missing": self.missing, "unexpected": self.unexpected, "of another shape": self.reshaped}
        return ", ".join(f"{len(names)} {kind} ({listed(names)})" for kind, names in parts.items() if names)


def listed(names: tuple[str, ...] | list[str]) -> str:
    """Return the first few names, and the number of further ones."""
    more = [f"and {len(names) - _NUM_LISTED} more"] if len(names) > _NUM_LISTED else []
    return ", ".join([*names[:_NUM_LISTED], *more])


def _size(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "a scalar"


def assign(network: nn.Module, state: Mapping[str, Tensor]) -> bool:
    """Give a network without values these tensors themselves; return False if it needs copies, changed or not.

    It does if types differ, if it shares tensors among modules, or if it has buffers outside of its state dict.

    Args:
        network: A network on the meta device.
        state: Its state dict.
    """
    own = network.state_dict(keep_vars=True)
    is_tied = len({id(each) for each in own.values()}) < len(own)
    if is_tied or any(name not in state or state[name].dtype != each.dtype for name, each in own.items()):
        return False
    network.load_state_dict({name: state[name].detach() for name in own}, assign=True)
    return not any(each.is_meta for each in network.buffers())
