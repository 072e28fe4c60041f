"""Shape check that keeps a loss from broadcasting."""

from __future__ import annotations

from torch import Tensor

from gancompress.errors import ConfigError


def check_same_shape(where: str, got: Tensor, expected: Tensor) -> None:
    """Reject two tensors of different shapes, which arithmetic would silently broadcast.

    Raises:
        ConfigError: The shapes differ.
    """
    if got.shape != expected.shape:
        raise ConfigError(
            f"{where}: got shapes {tuple(got.shape)} and {tuple(expected.shape)}, expected equal ones; "
            "compare networks with outputs of one size"
        )
