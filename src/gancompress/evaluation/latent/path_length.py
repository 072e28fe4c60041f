"""Perceptual path length: the change of an image for a tiny step of its latent.

Source: Karras et al., A Style-Based Generator Architecture for GANs, CVPR 2019, section 4.1, and the released code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from gancompress.evaluation.latent.interpolation import lerp, slerp
from gancompress.evaluation.latent.space import LatentSpace, full_float, seen

EPSILON = 1e-4
PERCENTILES = (0.01, 0.99)

Distance = Callable[[Tensor, Tensor], Tensor]
"""Function of two batches of images [b, 3, h, w] in [-1, 1] that returns the distance of each pair, [b]."""


@dataclass(frozen=True)
class PathProtocol:
    """Protocol of a path length, except for the distance.

    Attributes:
        space: ``z``, along an arc, or ``w``, along a line.
        full: Whether steps begin anywhere between two latents, or else at the first of them.
        same_noise: Whether both ends of a step share their noise maps.
        divided: Whether distances are divided by the square of the step.
    """

    space: Literal["z", "w"]
    full: bool = False
    same_noise: bool = True
    divided: bool = True

    @property
    def words(self) -> str:
        """Description of the protocol."""
        where = "anywhere between two latents" if self.full else "from the first of two latents"
        noise = "the same new noise maps" if self.same_noise else "other new noise maps"
        divided = f", divided by {EPSILON:g}^2" if self.divided else ""
        return (
            f"perceptual path length in {self.space.upper()}, steps of {EPSILON:g} {where} at the next one, {noise} at "
            f"both ends{divided}, mean between the 1st and the 99th percentile"
        )


PATHS: dict[str, PathProtocol] = {
    "ppl_w": PathProtocol("w"),
    "ppl_z": PathProtocol("z"),
    "ppl_wfull": PathProtocol("w", full=True),
    "ppl_zfull": PathProtocol("z", full=True),
    # Content-Aware GAN Compression's protocol; mostly measures the effect of noise maps.
    "ppl_cagc": PathProtocol("w", full=True, same_noise=False, divided=False),
}
"""Protocols by the name of their metric; ``ppl_w`` is the ``ppl2_wend`` of StyleGAN2."""


@torch.no_grad()
def path_lengths(
    space: LatentSpace, distance: Distance, protocol: PathProtocol, num_pairs: int, batch_size: int, seed: int = 0
) -> Tensor:
    """Return the distance of every step, float64 [num_pairs].

    The samples depend only on the seed and the number of pairs, and are the same for every generator with latents and
    noise maps of these sizes.

    Args:
        space: The generator.
        distance: Distance of images that differ little and are not rounded to 8 bits.
        protocol: Path length protocol.
        num_pairs: Number of pairs of latents.
        batch_size: Pairs at once.
        seed: Seed of latents, positions, classes and noise maps.
    """
    with full_float(space.device):
        steps = _steps(space, protocol, num_pairs, batch_size, seed)
        lengths = torch.cat([distance(seen(before), seen(after)).double().cpu() for before, after in steps])
    return lengths / EPSILON**2 if protocol.divided else lengths


def within_percentiles(lengths: Tensor) -> Tensor:
    """Return the lengths between the 1st and the 99th percentile; both percentiles are rounded outwards to a length."""
    low = torch.quantile(lengths, PERCENTILES[0], interpolation="lower")
    high = torch.quantile(lengths, PERCENTILES[1], interpolation="higher")
    return lengths[(lengths >= low) & (lengths <= high)]


def _steps(
    space: LatentSpace, protocol: PathProtocol, num_pairs: int, batch_size: int, seed: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the images at both ends of each step, batch by batch."""
    draw = torch.Generator().manual_seed(seed)
    first, second = torch.randn(2, num_pairs, space.latent_size, generator=draw).double()
    places = torch.rand(num_pairs, 1, generator=draw).double() * protocol.full
    classes = torch.randint(max(1, space.num_classes), (num_pairs,), generator=draw)
    for start in range(0, num_pairs, batch_size):
        rows = slice(start, start + batch_size)
        ends = _ends(space, protocol, first[rows], second[rows], places[rows], space.one_hot(classes[rows]))
        noise = [_noise_maps(space, len(places[rows]), draw) for _ in range(1 if protocol.same_noise else 2)]
        yield space.draw(ends[0], noise[0]), space.draw(ends[1], noise[-1])


def _ends(
    space: LatentSpace, protocol: PathProtocol, first: Tensor, second: Tensor, places: Tensor, one_hot: Tensor
) -> list[Tensor]:
    """Return the latents at both ends of each step. They are computed in float64 and rounded once."""
    between = slerp
    if protocol.space == "w":
        assert space.mapping is not None
        first, second = (space.mapping(space.send(latent)).double().cpu() for latent in (first, second))
        between = lerp
    ends = [between(first, second, places + step) for step in (0.0, EPSILON)]
    if protocol.space == "w":
        return [space.send(end)[:, None] for end in ends]
    return [space.send(torch.cat([end, one_hot], 1)) for end in ends]


def _noise_maps(space: LatentSpace, count: int, draw: torch.Generator) -> Tensor | None:
    """Draw noise maps [count, num_noise], one image after the other, so that they do not depend on batches."""
    if not space.num_noise:
        return None
    return space.send(torch.stack([torch.randn(space.num_noise, generator=draw) for _ in range(count)]))
