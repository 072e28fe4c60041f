from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn


@pytest.fixture(scope="session")
def distinct_weights() -> Callable[[nn.Module], nn.Module]:
    """Fills a network, running statistics included, with fixed values that differ from tensor to tensor."""

    @torch.no_grad()
    def fill(network: nn.Module) -> nn.Module:
        for i, (name, tensor) in enumerate(network.state_dict().items()):
            if tensor.is_floating_point():
                values = (torch.arange(tensor.numel(), dtype=torch.float32) * 1.7 + i).sin().view(tensor.shape)
                positive = name.endswith(("running_var", "scale")) or (tensor.dim() == 1 and name.endswith("weight"))
                tensor.copy_(1 + values / 2 if positive else values * 0.3)
        return network.eval()

    return fill
