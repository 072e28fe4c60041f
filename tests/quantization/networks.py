"""Small members of the families, and images for them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gancompress.networks.registry import build

FAMILIES = {
    "resnet_6blocks": ({"ngf": 8}, 16),
    "resnet": ({"ngf": 8, "num_blocks": 1, "separable": True}, 16),
    "unet": ({"ngf": 8, "num_downs": 3}, 16),
    "cartoongan": ({"ngf": 8, "num_blocks": 1}, 16),
}


def network(family: str) -> nn.Module:
    """In evaluation mode, its weights large enough for a picture that is not grey."""
    config, _ = FAMILIES[family]
    made = build(family, config).eval()
    with torch.no_grad():
        for parameter in made.parameters():
            if parameter.dim() > 1:
                parameter.mul_(5)
    return made


def images(family: str, number: int = 4) -> Tensor:
    size = FAMILIES[family][1]
    return torch.rand(number, 3, size, size) * 2 - 1
