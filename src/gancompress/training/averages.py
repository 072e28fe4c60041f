"""Moving averages of weights."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import _SpectralNorm


def update_average(average: nn.Module, own: nn.Module, decay: float) -> None:
    """Move an average towards the current weights and statistics of a network.

    Args:
        average: The average, a copy of the network, changed in place.
        own: The network.
        decay: Weight of the average, 0 to 1; the network has the rest.
    """
    means, values = list(_floating(average)), list(_floating(own))
    torch._foreach_lerp_(means, values, 1 - decay)  # pyright: ignore[reportPrivateImportUsage]
    _keep_unit_vectors(average, own)


def _floating(module: nn.Module) -> Iterator[Tensor]:
    for tensor in (*module.parameters(), *module.buffers()):
        if tensor.is_floating_point():
            yield tensor.data


def _keep_unit_vectors(average: nn.Module, own: nn.Module) -> None:
    """Copy the singular vectors of spectral norms instead of averaging: averages are too short and inflate weights."""
    for mean, value in zip(average.modules(), own.modules(), strict=True):
        if isinstance(value, _SpectralNorm):
            for vector, current in zip(mean.buffers(), value.buffers(), strict=True):
                vector.copy_(current)
