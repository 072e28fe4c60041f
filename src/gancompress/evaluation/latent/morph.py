"""Morphs: images at equal steps from one latent to another."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from gancompress.evaluation.latent.interpolation import lerp, slerp
from gancompress.evaluation.latent.path_length import Distance
from gancompress.evaluation.latent.space import LatentSpace, full_float, seen


def drawn_ends(space: LatentSpace, num_morphs: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Draw noise at both ends of each morph, float64 [num_morphs, latent_size] twice, and its one-hot class."""
    draw = torch.Generator().manual_seed(seed)
    first, second = torch.randn(2, num_morphs, space.latent_size, generator=draw).double()
    classes = torch.randint(max(1, space.num_classes), (num_morphs,), generator=draw)
    return first, second, space.one_hot(classes)


def morph_positions(num_steps: int) -> Sequence[float]:
    """Return the position of each image, from 0 to 1; one more than steps."""
    return [step / num_steps for step in range(num_steps + 1)]


@torch.no_grad()
def morph(
    space: LatentSpace,
    first: Tensor,
    second: Tensor,
    one_hot: Tensor,
    positions: Sequence[float],
    noise: Tensor | None = None,
) -> Tensor:
    """Return the images of one morph: along a line in W if the generator has styles, else along an arc in Z.

    Args:
        space: The generator.
        first: Noise at the beginning, [latent_size].
        second: Noise at the end.
        one_hot: The class, [num_classes].
        positions: Positions along the morph, from 0 to 1.
        noise: Noise maps of all images, [1, num_noise]; the generator's own by default.

    Returns:
        [len(positions), c, h, w].
    """
    t = torch.tensor(positions, dtype=torch.float64)[:, None]
    maps = None if noise is None or not space.num_noise else space.send(noise).expand(len(t), -1)
    if space.mapping is not None:
        first, second = space.mapping(space.send(torch.stack([first, second]))).double().cpu()
        return space.draw(space.send(lerp(first[None], second[None], t))[:, None], maps)
    between = slerp(first[None], second[None], t)
    return space.draw(space.send(torch.cat([between, one_hot.expand(len(t), -1)], 1)), maps)


@torch.no_grad()
def morph_steps(
    space: LatentSpace, distance: Distance, num_morphs: int, num_steps: int, batch_size: int, seed: int = 0
) -> Tensor:
    """Return the perceptual distance of neighbours along morphs, float64 [num_morphs, num_steps].

    Args:
        space: The generator.
        distance: Distance of images, which are not rounded to 8 bits.
        num_morphs: Number of morphs.
        num_steps: Equal steps of each morph.
        batch_size: Images at once.
        seed: Seed of their ends.
    """
    positions = morph_positions(num_steps)
    lengths = []
    with full_float(space.device):
        for first, second, one_hot in zip(*drawn_ends(space, num_morphs, seed), strict=True):
            parts = [positions[at : at + batch_size] for at in range(0, len(positions), batch_size)]
            images = seen(torch.cat([morph(space, first, second, one_hot, part) for part in parts]))
            pairs = zip(images[:-1].split(batch_size), images[1:].split(batch_size), strict=True)
            lengths.append(torch.cat([distance(before, after).double().cpu() for before, after in pairs]))
    return torch.stack(lengths)
