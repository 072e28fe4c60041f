"""Generators that turn noise into styles, of which an image takes one for each layer: what they offer beside images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

Noise = Sequence[Tensor] | Tensor | Literal["fixed", "random"] | None
"""Noise maps of a generator: one [b or 1, 1, h, w] for each layer, or all their pixels one after another as [b, n]; the
maps that it holds; new ones; or None: new ones in training, its own in evaluation."""


class Mixing(NamedTuple):
    """Noise whose styles the finer layers take.

    Attributes:
        latent: [b, latent_size].
        crossover: The first layer that takes them.
    """

    latent: Tensor
    crossover: int


class StyledGenerator(nn.Module):
    """A generator with styles. Subclass it for latent metrics, directions and regularisers in the space of styles.

    ``forward`` takes noise [b, latent_size] or styles [b, n, latent_size], ``noise`` as `Noise`, ``mixed_with`` as
    `Mixing`, and ``offset`` [b, latent_size], which is added to all styles of an image.

    Attributes:
        num_styles: Styles that an image can mix.
        mapping: From noise [b, latent_size] to styles [b, latent_size].
    """

    num_styles: int
    mapping: nn.Module

    def styles(self, latent: Tensor, mixed_with: Mixing | None = None) -> Tensor:
        """Return the styles of every layer, [b, num_styles, latent_size]; arguments as those of ``forward``."""
        raise NotImplementedError

    def new_noise(self, batch_size: int) -> list[Tensor]:
        """Draw noise maps from torch's global generator, for several networks to share."""
        raise NotImplementedError

    def own_noise(self) -> list[Tensor]:
        """Return the noise maps that it holds."""
        raise NotImplementedError


@runtime_checkable
class StyledLayer(Protocol):
    """A layer whose convolution ``conv`` is modulated by a style."""

    def effective_norms(self, style: Tensor) -> Tensor:
        """Return the norms of the weights as styles [b, latent_size] modulate and demodulate them."""
        ...


def mixed(first: Tensor, second: Tensor, crossover: int) -> Tensor:
    """Take the styles of one image up to a layer, and of another one from there on.

    Source: Karras et al., CVPR 2019, section 3.1.

    Args:
        first: Styles [b, num_styles, latent_size], of which the coarse layers take theirs.
        second: Likewise, of the fine layers.
        crossover: The first layer that takes the second style.

    Returns:
        Styles [b, num_styles, latent_size].
    """
    late = (torch.arange(first.shape[1], device=first.device) >= crossover)[None, :, None]
    return torch.where(late, second, first)
