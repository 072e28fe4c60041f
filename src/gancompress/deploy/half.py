"""Half precision of a network, for GPUs: float32 images in and out, everything between in float16."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

from gancompress.deploy.parity import DEFAULT_TOLERANCE

HALF_TOLERANCE = 64 * DEFAULT_TOLERANCE
"""Eight steps of an 8-bit image, at the worst pixel of an image."""


class Halved(nn.Module):
    """Network whose weights and activations are float16; modules that ask for float32 compute in it."""

    def __init__(self, network: nn.Module) -> None:
        """Convert the network to half precision in place."""
        super().__init__()
        self.network = network.half()

    def forward(self, first: Tensor, second: Tensor | None = None, third: Tensor | None = None) -> Any:
        """Run the network on its one to three inputs; floats are float32 on both sides."""
        inputs = [each for each in (first, second, third) if each is not None]
        result = self.network(*(each.half() if each.is_floating_point() else each for each in inputs))
        return tree_map_only(Tensor, lambda each: each.float() if each.is_floating_point() else each, result)
