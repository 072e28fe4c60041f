"""Half precision of a network, for GPUs: float32 images in and out, everything between in float16."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gancompress.deploy.parity import DEFAULT_TOLERANCE

HALF_TOLERANCE = 64 * DEFAULT_TOLERANCE
"""Eight steps of an 8-bit image, at the worst pixel of an image."""


class Halved(nn.Module):
    """Network whose weights and activations are float16; modules that ask for float32 compute in it."""

    def __init__(self, network: nn.Module) -> None:
        """Convert the network to half precision in place."""
        super().__init__()
        self.network = network.half()

    def forward(self, first: Tensor, second: Tensor | None = None) -> Tensor:
        """Run the network on its one or two inputs; floats are float32 on both sides."""
        inputs = [first] if second is None else [first, second]
        return self.network(*(each.half() if each.is_floating_point() else each for each in inputs)).to(torch.float32)
