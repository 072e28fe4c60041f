"""Generators that map noise to styles, one for each layer: their interface beside images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

Noise = Sequence[Tensor] | Tensor | Literal["fixed", "random"] | None
"""Noise maps of a generator: one [b or 1, 1, h, w] for each layer, or all their pixels as [b, n]; "fixed", the stored
maps; "random", new ones; or None: new ones in training, the stored ones in evaluation."""


class Mixing(NamedTuple):
    """Noise whose styles the finer layers use.

    Attributes:
        latent: Noise [b, latent_size].
        crossover: The first layer that uses its styles.
    """

    latent: Tensor
    crossover: int


class StyledGenerator(nn.Module):
    """A generator with styles. Subclass it for latent metrics, directions and regularisers in the style space.

    ``forward`` takes noise [b, latent_size] or styles [b, n, latent_size], ``noise`` as `Noise`, ``mixed_with`` as
    `Mixing`, and ``offset`` [b, latent_size], which is added to all styles of an image.

    Attributes:
        num_styles: Number of styles of an image.
        mapping: Network from noise [b, latent_size] to styles [b, latent_size].
    """

    num_styles: int
    mapping: nn.Module

    def styles(self, latent: Tensor, mixed_with: Mixing | None = None) -> Tensor:
        """Return the styles of every layer, [b, num_styles, latent_size]; arguments as in ``forward``."""
        raise NotImplementedError

    def new_noise(self, batch_size: int) -> list[Tensor]:
        """Draw noise maps from torch's global generator, for several networks to share."""
        raise NotImplementedError

    def own_noise(self) -> list[Tensor]:
        """Return the stored noise maps."""
        raise NotImplementedError


@runtime_checkable
class StyledLayer(Protocol):
    """A layer whose convolution ``conv`` is modulated by a style."""

    def effective_norms(self, style: Tensor) -> Tensor:
        """Return the norms of the weights after modulation and demodulation by styles [b, latent_size]."""
        ...


def mixed(first: Tensor, second: Tensor, crossover: int) -> Tensor:
    """Mix two images' styles: those of the first up to a layer, and those of the second from there on.

    Source: Karras et al., CVPR 2019, section 3.1.

    Args:
        first: Styles [b, num_styles, latent_size] of the coarse layers.
        second: Styles [b, num_styles, latent_size] of the fine layers.
        crossover: The first layer that uses the second style.

    Returns:
        Styles [b, num_styles, latent_size].
    """
    late = (torch.arange(first.shape[1], device=first.device) >= crossover)[None, :, None]
    return torch.where(late, second, first)
