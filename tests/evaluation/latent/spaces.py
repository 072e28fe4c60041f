"""Generators whose latent spaces are known in closed form, and a small StyleGAN2."""

from __future__ import annotations

import torch
from torch import Tensor

from gancompress.evaluation.latent import LatentSpace
from gancompress.networks.registry import build

SIZE = 12
"""Numbers of a latent, and of an image of 2x2 pixels in three colours."""


def linear_space(with_styles: bool = False, num_classes: int = 0) -> LatentSpace:
    """Images are twice the latents. With styles, a style is three times the noise, and noise maps are added."""

    def draw(given: Tensor, noise: Tensor | None) -> Tensor:
        numbers = given.mean(1) if given.ndim == 3 else given[:, :SIZE]
        images = (2 * numbers).view(-1, 3, 2, 2)
        return images if noise is None else images + noise[:, :, None, None]

    if not with_styles:
        return LatentSpace(draw, SIZE, num_classes, dtype=torch.float64)
    return LatentSpace(
        draw, SIZE, 0, lambda latent: 3 * latent, num_styles=4, own_noise=torch.zeros(1, 3), dtype=torch.float64
    )


def squared_distance(images: Tensor, targets: Tensor) -> Tensor:
    """Sum of squared differences, [b]."""
    return (images - targets).square().sum((1, 2, 3))


def small_stylegan2(dtype: torch.dtype = torch.float64) -> torch.nn.Module:
    """16x16 pixels, with noise maps that show."""
    torch.manual_seed(0)
    network = build("stylegan2", {"resolution": 16, "channel_max": 8, "latent_size": 6, "num_mapping_layers": 2})
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith("noise_strength"):
                parameter.fill_(0.2)
    return network.to(dtype).eval()
