"""Upscalers' blocks in the form that they are trained in: branches that sum to one convolution, or nearly do."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.channels.modern import Merged


class RepVgg(nn.Module):
    """Two convolutions and the input, each with a batch norm; an activation follows."""

    def __init__(self, channels: int = 8, stride: int = 1, groups: int = 1, act: nn.Module | None = None) -> None:
        super().__init__()
        self.dense = nn.Sequential(
            nn.Conv2d(channels, channels, 3, stride, 1, groups=groups, bias=False), nn.BatchNorm2d(channels)
        )
        self.point = nn.Sequential(
            nn.Conv2d(channels, channels, 1, stride, groups=groups, bias=False), nn.BatchNorm2d(channels)
        )
        self.same = nn.BatchNorm2d(channels) if stride == 1 else None
        self.act = act or nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        same = 0 if self.same is None else self.same(x)
        return self.act(self.dense(x) + self.point(x) + same)


class EdgeBlock(nn.Module):
    """A convolution, and a point convolution before a fixed edge filter whose borders repeat the bias; as ECBSR."""

    def __init__(self, channels: int = 8, exact: bool = True) -> None:
        super().__init__()
        self.plain, self.point = nn.Conv2d(channels, channels, 3, padding=1), nn.Conv2d(channels, channels, 1)
        self.scale = nn.Parameter(torch.randn(channels, 1, 1, 1))
        self.mask = nn.Buffer(torch.tensor([[1.0, 0, -1], [2, 0, -2], [1, 0, -1]]).expand(channels, 1, 3, 3).clone())
        self.exact = exact

    def forward(self, x: Tensor) -> Tensor:
        edges = F.pad(self.point(x), (1, 1, 1, 1))
        if self.exact:
            bias = self.point.bias.view(1, -1, 1, 1)
            edges[:, :, :1] = bias
            edges[:, :, -1:] = bias
            edges[:, :, :, :1] = bias
            edges[:, :, :, -1:] = bias
        return self.plain(x) + F.conv2d(edges, self.scale * self.mask, groups=len(self.scale)) + x


class Asymmetric(nn.Module):
    """Square, horizontal and vertical kernels, as ACNet; in one dimension a long and a short one."""

    def __init__(self, channels: int = 8, dimensions: int = 2) -> None:
        super().__init__()
        conv = {1: nn.Conv1d, 2: nn.Conv2d}[dimensions]
        sizes = {1: (5, 3), 2: ((3, 3), (1, 3), (3, 1))}[dimensions]
        self.parts = nn.ModuleList(conv(channels, channels, size, padding="same") for size in sizes)

    def forward(self, x: Tensor) -> Tensor:
        return sum((part(x) for part in self.parts[1:]), self.parts[0](x)) / 2


class PaddedOnce(nn.Module):
    """A chain of convolutions of padded images, and a shortcut; as SPAN in training."""

    def __init__(self, channels: int = 8) -> None:
        super().__init__()
        self.chain = nn.Sequential(
            nn.Conv2d(channels, 2 * channels, 1),
            nn.Conv2d(2 * channels, 2 * channels, 3),
            nn.Conv2d(2 * channels, channels, 1),
        )
        self.short = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.chain(F.pad(x, (1, 1, 1, 1))) + self.short(x)


class Nonlinear(nn.Module):
    def __init__(self, channels: int = 8) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(channels, channels, 3, padding=1), nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.first(x) + F.relu(self.second(x))


class Separable(nn.Module):
    """A depthwise and a point convolution: one convolution of both would be larger."""

    def __init__(self, channels: int = 8) -> None:
        super().__init__()
        self.depth = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
        self.point = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.point(self.depth(x))


FOLDED: dict[str, Callable[[], nn.Module]] = {
    "repvgg": RepVgg,
    "repvgg_strided": lambda: RepVgg(stride=2, act=nn.PReLU(8)),
    "repvgg_grouped": lambda: RepVgg(groups=4, act=nn.ReLU(inplace=True)),
    "ecbsr": EdgeBlock,
    "acnet": Asymmetric,
    "one_dimension": lambda: Asymmetric(dimensions=1),
    "span_training": PaddedOnce,
    "span_merged": lambda: Merged(8, 8),
}
KEPT: dict[str, Callable[[], nn.Module]] = {
    "not_exact_at_borders": lambda: EdgeBlock(exact=False),
    "nonlinear": Nonlinear,
    "separable": Separable,
    "convolution_and_norm": lambda: nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8)),
}


class Upscaler(nn.Module):
    """Blocks of one kind between two convolutions, with a skip."""

    def __init__(self, kind: str = "repvgg", num_blocks: int = 2) -> None:
        super().__init__()
        conv = nn.Conv1d if kind == "one_dimension" else nn.Conv2d
        self.enter, self.leave = conv(3, 8, 3, padding=1), conv(8, 3, 3, padding=1)
        self.body = nn.Sequential(*((FOLDED | KEPT)[kind]() for _ in range(num_blocks)))
        if kind == "repvgg_grouped":
            self.body[1].act = self.body[0].act  # one activation for all

    def forward(self, x: Tensor) -> Tensor:
        h = F.relu(self.enter(x))
        for block in self.body:
            made = block(h)
            h = F.silu(made, inplace=True) + (h if made.shape == h.shape else 0)
        return self.leave(h)


def upscaler(kind: str) -> nn.Module:
    """The network with statistics of norms that are not those of a fresh one."""
    torch.manual_seed(0)
    network = Upscaler(kind)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            for tensor in (layer.weight, layer.bias, layer.running_mean, layer.running_var):
                tensor.data.uniform_(0.5, 1.5)
    return network.eval()
