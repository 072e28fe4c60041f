"""Comparing the tensors that a network needs with those that a file has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

Shapes = Mapping[str, tuple[int, ...]]
"""Shape of every tensor, by name."""

_NUM_LISTED = 3


def shapes_of(tensors: Mapping[str, Tensor] | nn.Module) -> dict[str, tuple[int, ...]]:
    """Shape of every tensor of a state dict, or of a module's state dict."""
    state: Mapping[str, Tensor] = tensors.state_dict() if isinstance(tensors, nn.Module) else tensors
    return {name: tuple(tensor.shape) for name, tensor in state.items() if isinstance(tensor, Tensor)}


@dataclass(frozen=True)
class Mismatch:
    """How the tensors that were got differ from those that were expected; false when they do not.

    Attributes:
        num_matched: Number of tensors that are there with the right shape.
        missing: Names expected and not got.
        unexpected: Names got and not expected.
        reshaped: Name with got and expected shape.
    """

    num_matched: int
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    reshaped: tuple[str, ...]

    @classmethod
    def between(cls, expected: Shapes, got: Shapes) -> Mismatch:
        """Compares names and shapes."""
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
        """Whether there is any difference."""
        return bool(self.missing or self.unexpected or self.reshaped)

    @property
    def agreement(self) -> float:
        """Share of all names, expected or got, that match in shape too; in [0, 1]."""
        differing = len(self.missing) + len(self.unexpected) + len(self.reshaped)
        return self.num_matched / max(1, self.num_matched + differing)

    def __str__(self) -> str:
        """The kinds of difference, each with a few names."""
        parts = {"missing": self.missing, "unexpected": self.unexpected, "of another shape": self.reshaped}
        return ", ".join(f"{len(names)} {kind} ({listed(names)})" for kind, names in parts.items() if names)


def listed(names: tuple[str, ...] | list[str]) -> str:
    """The first few names, and how many more there are."""
    more = [f"and {len(names) - _NUM_LISTED} more"] if len(names) > _NUM_LISTED else []
    return ", ".join([*names[:_NUM_LISTED], *more])


def _size(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "a scalar"
