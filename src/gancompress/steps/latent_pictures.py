"""Pictures of latent spaces: style mixing and morphs of several networks side by side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gancompress.evaluation.latent import LatentSpace, drawn_ends, morph, morph_positions
from gancompress.networks.styles import StyledGenerator, mixed
from gancompress.tasks.latent import LatentTask

NUM_MORPHS = 3
NUM_POSITIONS = 8
NUM_COARSE = 3
NUM_FINE = 4


@dataclass(frozen=True)
class Picture:
    """A grid of images.

    Attributes:
        caption: Caption of the picture.
        columns: Images [rows, c, h, w] of each column by its label.
        rows: Labels of the rows.
    """

    caption: str
    columns: Mapping[str, Tensor]
    rows: tuple[str, ...]


def latent_pictures(task: LatentTask, networks: Mapping[str, nn.Module], seed: int = 0) -> dict[str, Picture]:
    """Return the pictures by name: ``morph``, and ``mixing`` if all networks have styles.

    Args:
        task: Task with the format of the networks' input.
        networks: Networks by label, in evaluation mode on the CPU; all share latents and the first one's noise maps.
        seed: Seed of the latents.
    """
    pictures = {"morph": _morphs(task, networks, seed)}
    styled = {name: network for name, network in networks.items() if isinstance(network, StyledGenerator)}
    if len(styled) == len(networks):
        pictures["mixing"] = _mixing(styled, task.latent_size, seed)
    return pictures


def _morphs(task: LatentTask, networks: Mapping[str, nn.Module], seed: int) -> Picture:
    """Draw each morph once for every network, the networks one below another."""
    spaces = {name: LatentSpace.of(net, task.latent_size, len(task.classes)) for name, net in networks.items()}
    first = next(iter(spaces.values()))
    positions = morph_positions(NUM_POSITIONS - 1)
    ends = zip(*drawn_ends(first, NUM_MORPHS, seed), strict=True)
    strips = [morph(space, *each, positions, first.own_noise) for each in ends for space in spaces.values()]
    columns = {f"{100 * part:.0f} %": torch.stack(images) for part, *images in zip(positions, *strips, strict=True)}
    way = "a line in W" if first.mapping is not None else "an arc in Z"
    caption = f"Morphs along {way} in equal steps, the same latents for each network."
    return Picture(caption, columns, tuple(networks) * NUM_MORPHS)


@torch.no_grad()
def _mixing(networks: Mapping[str, StyledGenerator], latent_size: int, seed: int) -> Picture:
    """Draw a block for each network: fine sources above, coarse ones at the left, mixed images in the cells."""
    noise = torch.randn(NUM_COARSE + NUM_FINE, latent_size, generator=torch.Generator().manual_seed(seed))
    blocks, rows = [], []
    first = next(iter(networks.values()))
    num_styles, maps = first.num_styles, first.own_noise()
    crossover = num_styles // 2
    for name, network in networks.items():
        styles = network.styles(noise)
        coarse, fine = styles[:NUM_COARSE], styles[NUM_COARSE:]
        pairs = coarse.repeat_interleave(NUM_FINE, 0), fine.repeat(NUM_COARSE, 1, 1)
        both = network(mixed(*pairs, crossover), noise=maps).unflatten(0, (NUM_COARSE, NUM_FINE))
        alone = network(styles, noise=maps)
        corner = torch.zeros_like(alone[:1])
        left = torch.cat([corner, alone[:NUM_COARSE]])
        blocks.append(torch.cat([left[:, None], torch.cat([alone[None, NUM_COARSE:], both])], 1))
        rows += [name, *(f"coarse {i}" for i in range(1, NUM_COARSE + 1))]
    labels = ["source", *(f"fine {i}" for i in range(1, NUM_FINE + 1))]
    columns = dict(zip(labels, torch.cat(blocks).unbind(1), strict=True))
    caption = (
        f"Styles mixed: the first {crossover} of {num_styles} styles from the image at the left, the others from the "
        "one above; the same latents for each network."
    )
    return Picture(caption, columns, tuple(rows))
