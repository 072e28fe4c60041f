"""Generators as somebody who has never seen this package would write them."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class SuperResolution(nn.Module):
    """Residual blocks with PReLU, a long skip, and two pixel shuffles (SRGAN-like)."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 16, 9, padding=4), nn.PReLU(16))
        self.a = nn.ModuleList(nn.Conv2d(16, 24, 3, padding=1) for _ in range(2))
        self.n = nn.ModuleList(nn.BatchNorm2d(24) for _ in range(2))
        self.b = nn.ModuleList(nn.Conv2d(24, 16, 3, padding=1) for _ in range(2))
        self.up1 = nn.Conv2d(16, 48, 3, padding=1)
        self.up2 = nn.Conv2d(12, 32, 3, padding=1)
        self.slope = nn.PReLU(8)
        self.last = nn.Conv2d(8, 3, 9, padding=4)

    def forward(self, x: Tensor) -> Tensor:
        skip = h = self.first(x)
        for a, n, b in zip(self.a, self.n, self.b, strict=True):
            h = h + b(F.relu(n(a(h))))
        h = F.pixel_shuffle(self.up1(h + skip), 2)
        h = self.slope(F.pixel_shuffle(self.up2(h), 2))
        return torch.tanh(self.last(h)) + F.interpolate(x, scale_factor=4, mode="bilinear")


class DenseConcat(nn.Module):
    """Every layer reads the concatenation of all before it; batch norm on the concatenation."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 10, 3, padding=1)
        self.norms = nn.ModuleList(nn.BatchNorm2d(10 + 6 * i) for i in range(3))
        self.convs = nn.ModuleList(nn.Conv2d(10 + 6 * i, 6, 3, padding=1) for i in range(3))
        self.squeeze = nn.Conv2d(28 + 3, 8, 1)
        self.out = nn.ConvTranspose2d(8, 3, 4, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        features = [self.stem(x)]
        for norm, conv in zip(self.norms, self.convs, strict=True):
            features.append(conv(torch.relu(norm(torch.cat(features, 1)))))
        return self.out(F.gelu(self.squeeze(torch.cat([*features, x], dim=1))))


class Vocoder(nn.Module):
    """One-dimensional, weight-normalised, transposed up-sampling and dilated residual stacks (HiFi-GAN-like)."""

    def __init__(self) -> None:
        super().__init__()
        norm = torch.nn.utils.parametrizations.weight_norm
        self.pre = norm(nn.Conv1d(20, 32, 7, padding=3))
        self.ups = nn.ModuleList(norm(nn.ConvTranspose1d(32 >> i, 16 >> i, 4, 2, 1)) for i in range(2))
        self.res = nn.ModuleList(
            nn.ModuleList(norm(nn.Conv1d(16 >> i, 16 >> i, 3, dilation=d, padding=d)) for d in (1, 3)) for i in range(2)
        )
        self.alpha = nn.Parameter(torch.ones(1, 8, 1))
        self.post = norm(nn.Conv1d(8, 1, 7, padding=3))

    def forward(self, mel: Tensor) -> Tensor:
        x = self.pre(mel)
        for up, stack in zip(self.ups, self.res, strict=True):
            x = up(F.leaky_relu(x, 0.1))
            x = sum((conv(F.leaky_relu(x, 0.1)) for conv in stack), x)
        x = x + torch.sin(self.alpha * x) ** 2 / (self.alpha + 1e-9)
        return torch.tanh(self.post(x))


class LatentImage(nn.Module):
    """Latent to image: a linear layer seen as a map, a class embedding, conditional norms from one split layer."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(5, 12)
        self.project = nn.Linear(12 + 12, 16 * 4 * 4)
        self.modulate = nn.Linear(24, 2 * 16)
        self.const = nn.Parameter(torch.linspace(-1, 1, 16 * 16).view(1, 16, 4, 4))
        self.norm = nn.GroupNorm(4, 16)
        self.conv = nn.utils.spectral_norm(nn.Conv2d(16, 16, 3, padding=1))
        self.gate = nn.Conv2d(16, 24, 3, padding=1)
        self.rgb = nn.Conv2d(12, 3, 1)

    def forward(self, z: Tensor, label: Tensor) -> Tensor:
        code = torch.cat([F.normalize(z), self.embed(label)], 1)
        x = self.project(code).view(z.shape[0], -1, 4, 4) + self.const
        scale, shift = self.modulate(code)[..., None, None].chunk(2, 1)
        x = self.norm(x) * (1 + scale) + shift
        x = F.interpolate(self.conv(x + 0.1 * torch.zeros_like(x)), scale_factor=2)
        return torch.tanh(self.rgb(F.glu(self.gate(x), 1)))


class Modulated(nn.Module):
    """Style-modulated convolutions with demodulated weights in the grouped form (StyleGAN2-like)."""

    def __init__(self) -> None:
        super().__init__()
        self.mapping = nn.Sequential(nn.Linear(10, 10), nn.LeakyReLU(0.2), nn.Linear(10, 10))
        self.const = nn.Parameter(torch.linspace(-1, 1, 16 * 16).view(1, 16, 4, 4))
        self.styles = nn.ModuleList([nn.Linear(10, 16), nn.Linear(10, 12)])
        self.weights = nn.ParameterList([torch.randn(12, 16, 3, 3), torch.randn(20, 12, 3, 3)])
        self.biases = nn.ParameterList([torch.zeros(12), torch.zeros(20)])
        self.rgb = nn.Conv2d(20, 3, 1)

    def forward(self, z: Tensor) -> Tensor:
        w = self.mapping(z * torch.rsqrt(z.square().mean(1, keepdim=True) + 1e-8))
        x = self.const.repeat(z.shape[0], 1, 1, 1)
        for style, weight, bias in zip(self.styles, self.weights, self.biases, strict=True):
            kernel = weight[None] * (style(w) + 1)[:, None, :, None, None]
            kernel = kernel * torch.rsqrt(kernel.square().sum((2, 3, 4), keepdim=True) + 1e-8)
            b, c, height, width = x.shape
            x = F.conv2d(x.reshape(1, b * c, height, width), kernel.flatten(0, 1), padding=1, groups=b)
            x = F.leaky_relu(x.view(b, -1, height, width) + bias.view(1, -1, 1, 1), 0.2)
        return self.rgb(x)


class Attentive(nn.Module):
    """Self-attention, channel attention, grouped and depthwise convolutions, LayerNorm over channels."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, padding=1)
        self.query, self.key = nn.Conv2d(16, 8, 1), nn.Conv2d(16, 8, 1)
        self.value = nn.Conv2d(16, 16, 1)
        self.squeeze, self.excite = nn.Linear(16, 4), nn.Linear(4, 16)
        self.depthwise = nn.Conv2d(16, 32, 3, padding=1, groups=16)
        self.grouped = nn.Conv2d(32, 24, 3, padding=1, groups=4)
        self.norm = nn.LayerNorm(24)
        self.up = nn.ConvTranspose2d(24, 24, 4, 2, 1, groups=24)
        self.out = nn.Conv2d(24, 3, 3, padding=1, padding_mode="reflect")

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        b, _, h, w = x.shape
        query, key, value = (f(x).flatten(2) for f in (self.query, self.key, self.value))
        attention = torch.softmax(query.transpose(1, 2) @ key, -1)
        x = x + torch.einsum("bcn,bmn->bcm", value, attention).view(b, -1, h, w)
        x = x * torch.sigmoid(self.excite(torch.relu(self.squeeze(x.mean((2, 3))))))[:, :, None, None]
        x = self.grouped(F.silu(self.depthwise(x)))
        x = self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return self.out(self.up(x))


class Volume(nn.Module):
    """Three-dimensional, with tracked instance norms and one shared convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.enter = nn.Conv3d(1, 12, 3, padding=1)
        self.norm = nn.InstanceNorm3d(12, affine=True, track_running_stats=True)
        self.shared = nn.Conv3d(12, 12, 3, padding=1)
        self.again = self.shared
        self.up = nn.ConvTranspose3d(12, 10, 2, 2)
        self.plain = nn.InstanceNorm3d(10)
        self.leave = nn.Conv3d(10, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.norm(self.enter(x)))
        x = torch.relu(self.again(torch.relu(self.shared(x))))
        return self.leave(self.plain(self.up(F.max_pool3d(x, 2))))


def _image(size: int = 8, batch: int = 2) -> Tensor:
    return torch.linspace(-1, 1, batch * 3 * size * size).view(batch, 3, size, size).sin()


Stranger = Callable[[], tuple[nn.Module, tuple[Tensor, ...]]]

STRANGERS: dict[str, Stranger] = {
    "super_resolution": lambda: (SuperResolution(), (_image(),)),
    "dense_concat": lambda: (DenseConcat(), (_image(),)),
    "vocoder": lambda: (Vocoder(), (torch.linspace(-1, 1, 2 * 20 * 6).view(2, 20, 6).sin(),)),
    "latent_image": lambda: (LatentImage(), (torch.linspace(-1, 1, 24).view(2, 12), torch.tensor([1, 3]))),
    "modulated": lambda: (Modulated(), (torch.linspace(-1, 1, 20).view(2, 10),)),
    "attentive": lambda: (Attentive(), (_image(),)),
    "volume": lambda: (Volume(), (torch.linspace(-1, 1, 2 * 4**3).view(2, 1, 4, 4, 4),)),
}

GROUPS: dict[str, dict[str, int]] = {
    "super_resolution": {"first.0": 16, "a.0": 24, "a.1": 24, "up1": 12, "up2": 8},
    "dense_concat": {"stem": 10, "convs.0": 6, "convs.1": 6, "convs.2": 6, "squeeze": 8},
    "vocoder": {"pre": 32, "ups.0": 16, "ups.1": 8},
    "latent_image": {"embed": 12, "project": 4, "conv": 16, "gate": 12},
    "modulated": {"mapping.0": 10, "mapping.2": 10, "const": 16, "weights.0": 12, "weights.1": 20},
    "attentive": {"stem": 4, "query": 8, "squeeze": 4, "grouped": 6},
    "volume": {"enter": 12, "up": 10},
}
"""The groups that these networks have, worked out by hand."""
