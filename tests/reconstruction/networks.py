"""Small networks with an exact solution after a cut: channels that are removed repeat channels that stay."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gancompress.channels import ChannelGraph, ChannelPlan, materialise, trace


class Chain(nn.Module):
    """A layer that makes channels, ReLU, and a layer that reads them."""

    def __init__(self, first: nn.Module, second: nn.Module) -> None:
        super().__init__()
        self.first, self.second = first, second

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.first(x).relu())


@torch.no_grad()
def repeat_channels(layer: nn.Module, axis: int = 0) -> None:
    """Make the second half of a layer's output channels three times the first half."""
    for tensor, number in ((layer.weight, axis), (layer.bias, 0)):
        half = tensor.shape[number] // 2
        tensor.narrow(number, half, half).copy_(3 * tensor.narrow(number, 0, half))


def halved(wide: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[nn.Module, ChannelGraph, ChannelPlan]:
    """The narrow network with the leading half of every group."""
    graph = trace(wide, inputs, multiple=1, minimum=1)
    plan = graph.uniform_plan(0.5)
    return materialise(wide, graph, plan), graph, plan
