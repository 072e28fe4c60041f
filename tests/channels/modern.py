"""Small generators with attention, windows, Fourier transforms, and sizes held as attributes."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .strangers import Stranger


def windows(x: Tensor, side: int) -> Tensor:
    """``[b, h, w, c]`` to ``[b * windows, side * side, c]``."""
    b, h, w, c = x.shape
    x = x.view(b, h // side, side, w // side, side, c)
    return x.permute(0, 1, 3, 2, 4, 5).contiguous().view(-1, side * side, c)


def from_windows(x: Tensor, side: int, h: int, w: int) -> Tensor:
    """Inverse of `windows`."""
    b = int(x.shape[0] / (h * w / side / side))
    x = x.view(b, h // side, w // side, side, side, -1)
    return x.permute(0, 1, 3, 2, 4, 5).contiguous().view(b, h, w, -1)


class WindowAttention(nn.Module):
    """Fused queries, keys and values; the dimensions of a head follow the width of the input."""

    def __init__(self, dim: int, side: int, heads: int) -> None:
        super().__init__()
        self.side, self.heads, self.scale = side, heads, (dim // heads) ** -0.5
        self.table = nn.Parameter(torch.linspace(-1, 1, (2 * side - 1) ** 2 * heads).view(-1, heads))
        at = torch.stack(torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")).flatten(1)
        between = at[:, :, None] - at[:, None] + side - 1
        self.register_buffer("index", between[0] * (2 * side - 1) + between[1])
        self.qkv, self.project = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        b, n, c = x.shape
        q, k, v = self.qkv(x).reshape(b, n, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        bias = self.table[self.index.view(-1)].view(n, n, -1).permute(2, 0, 1)
        scores = (q * self.scale @ k.transpose(-2, -1) + bias).softmax(-1)
        return self.project((scores @ v).transpose(1, 2).reshape(b, n, c))


class Shifted(nn.Module):
    """Two blocks of shifted-window attention with an MLP each, between convolutions (SwinIR-like)."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(3, 12, 3, padding=1), nn.Conv2d(12, 12, 3, padding=1)
        self.norms = nn.ModuleList(nn.LayerNorm(12) for _ in range(4))
        self.attention = nn.ModuleList(WindowAttention(12, 4, 3) for _ in range(2))
        self.mlp = nn.ModuleList(nn.Sequential(nn.Linear(12, 20), nn.GELU(), nn.Linear(20, 12)) for _ in range(2))
        self.up = nn.Sequential(nn.Conv2d(12, 12, 3, padding=1), nn.PixelShuffle(2))

    def forward(self, x: Tensor) -> Tensor:
        first = self.first(x)
        b, c, h, w = first.shape
        x = first.flatten(2).transpose(1, 2)
        for i, (attention, mlp) in enumerate(zip(self.attention, self.mlp, strict=True)):
            shifted = torch.roll(self.norms[2 * i](x).view(b, h, w, c), (-2 * i, -2 * i), (1, 2))
            mixed = from_windows(attention(windows(shifted, 4)), 4, h, w)
            x = x + torch.roll(mixed, (2 * i, 2 * i), (1, 2)).view(b, h * w, c)
            x = x + mlp(self.norms[2 * i + 1](x))
        return self.up(self.last(x.transpose(1, 2).reshape(b, -1, h, w)) + first)


class Decoder(nn.Module):
    """Group norms, residual blocks, and fused attention in the middle (decoder of an autoencoder)."""

    def __init__(self) -> None:
        super().__init__()
        self.enter, self.leave = nn.Conv2d(4, 16, 3, padding=1), nn.Conv2d(8, 3, 3, padding=1)
        self.norms = nn.ModuleList([nn.GroupNorm(4, 16), nn.GroupNorm(4, 16), nn.GroupNorm(2, 8)])
        self.q, self.k, self.v, self.out = (nn.Linear(16, 16) for _ in range(4))
        self.block, self.narrow = nn.Conv2d(16, 16, 3, padding=1), nn.Conv2d(16, 8, 1)

    def forward(self, z: Tensor) -> Tensor:
        x = self.enter(z)
        b, c, h, w = x.shape
        tokens = self.norms[0](x.view(b, c, h * w)).transpose(1, 2)
        q, k, v = (f(tokens).view(b, -1, 2, c // 2).transpose(1, 2) for f in (self.q, self.k, self.v))
        mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, -1, c)
        x = x + self.out(mixed).transpose(-1, -2).reshape(b, c, h, w)
        x = x + self.block(F.silu(self.norms[1](x)))
        return self.leave(F.silu(self.norms[2](self.narrow(F.interpolate(x, scale_factor=2.0)))))


class ChannelAttention(nn.Module):
    """Attention over channels with heads, and a gated depthwise feed-forward layer (Restormer-like)."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(3, 12, 3, padding=1), nn.Conv2d(12, 3, 3, padding=1)
        self.temperature = nn.Parameter(torch.ones(2, 1, 1))
        self.qkv = nn.Sequential(nn.Conv2d(12, 36, 1), nn.Conv2d(36, 36, 3, padding=1, groups=36))
        self.project, self.enter = nn.Conv2d(12, 12, 1), nn.Conv2d(12, 20, 1)
        self.depthwise, self.leave = nn.Conv2d(20, 20, 3, padding=1, groups=20), nn.Conv2d(10, 12, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        b, _, h, w = x.shape
        q, k, v = (each.unflatten(1, (2, -1)).flatten(3) for each in self.qkv(x).chunk(3, 1))
        q, k = F.normalize(q, dim=-1), F.normalize(k, dim=-1)
        scores = (q @ k.transpose(-2, -1) * self.temperature).softmax(-1)
        x = x + self.project((scores @ v).reshape(b, -1, h, w))
        a, gate = self.depthwise(self.enter(x)).chunk(2, 1)
        return self.last(x + self.leave(F.gelu(a) * gate))


class Attributes(nn.Module):
    """Sizes held as attributes: the view of a latent, and the parts of a split (DCGAN-like, then PLKSR-like)."""

    def __init__(self) -> None:
        super().__init__()
        self.channels, self.parts = 10, (6, 4)
        self.project = nn.Linear(7, 10 * 16)
        self.mix, self.large = nn.Conv2d(10, 10, 3, padding=1), nn.Conv2d(6, 6, 5, padding=2)
        self.out = nn.ConvTranspose2d(10, 3, 4, 2, 1)

    def forward(self, z: Tensor) -> Tensor:
        x = self.project(z).view(z.shape[0], self.channels, 4, 4)
        a, b = self.mix(F.relu(x)).split(self.parts, 1)
        return self.out(torch.cat([self.large(a), b], 1))


class Fourier(nn.Module):
    """A branch that convolves the spectrum, real and imaginary parts beside one another (LaMa-like)."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(4, 10, 3, padding=1), nn.Conv2d(10, 3, 3, padding=1)
        self.spectral, self.norm = nn.Conv2d(20, 20, 1), nn.BatchNorm2d(20)

    def forward(self, image: Tensor, mask: Tensor) -> Tensor:
        x = self.first(torch.cat([image * (1 - mask), mask], 1))
        b, _, h, w = x.shape
        f = torch.fft.rfftn(x, dim=(-2, -1), norm="ortho")
        f = torch.stack((f.real, f.imag), -1).permute(0, 1, 4, 2, 3).contiguous().view(b, -1, h, w // 2 + 1)
        f = torch.relu(self.norm(self.spectral(f))).view(b, -1, 2, h, w // 2 + 1).permute(0, 1, 3, 4, 2).contiguous()
        f = torch.fft.irfftn(torch.complex(f[..., 0], f[..., 1]), s=(h, w), dim=(-2, -1), norm="ortho")
        return torch.sigmoid(self.last(x + f))


class Domains(nn.Module):
    """An image and a label, which is repeated over the image (StarGAN-like)."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv2d(3 + 5, 12, 3, padding=1), nn.InstanceNorm2d(12, affine=True)
        self.last = nn.Conv2d(12, 3, 3, padding=1)

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        label = label.view(label.shape[0], -1, 1, 1).repeat(1, 1, x.shape[2], x.shape[3])
        return torch.tanh(self.last(torch.relu(self.norm(self.first(torch.cat([x, label], 1))))))


class SpectrumVocoder(nn.Module):
    """Depthwise blocks with LayerNorm over the last axis, and a spectrum at the end (Vocos-like)."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.norm, self.end = nn.Conv1d(8, 12, 7, padding=3), nn.LayerNorm(12), nn.LayerNorm(12)
        self.depthwise, self.between = nn.Conv1d(12, 12, 7, padding=3, groups=12), nn.LayerNorm(12)
        self.enter, self.leave, self.gamma = nn.Linear(12, 20), nn.Linear(20, 12), nn.Parameter(torch.full((12,), 0.5))
        self.head = nn.Linear(12, 18)
        self.register_buffer("window", torch.hann_window(16))

    def forward(self, mel: Tensor) -> Tensor:
        x = self.norm(self.embed(mel).transpose(1, 2)).transpose(1, 2)
        inner = self.leave(F.gelu(self.enter(self.between(self.depthwise(x).transpose(1, 2)))))
        x = self.end((x + (self.gamma * inner).transpose(1, 2)).transpose(1, 2))
        size, phase = self.head(x).transpose(1, 2).chunk(2, 1)
        spectrum = size.exp().clip(max=1e2) * (torch.cos(phase) + 1j * torch.sin(phase))
        frames = torch.fft.irfft(spectrum, 16, dim=1) * self.window[None, :, None]
        length = (frames.shape[-1] - 1) * 4 + 16
        return F.fold(frames, (1, length), (1, 16), stride=(1, 4))[:, 0, 0, 6:-6]


def ramp(*shape: int) -> Tensor:
    return torch.linspace(-1, 1, torch.Size(shape).numel()).view(shape).sin()


MODERN: dict[str, Stranger] = {
    "shifted": lambda: (Shifted(), (ramp(2, 3, 8, 8),)),
    "decoder": lambda: (Decoder(), (ramp(2, 4, 4, 4),)),
    "channel_attention": lambda: (ChannelAttention(), (ramp(2, 3, 8, 8),)),
    "attributes": lambda: (Attributes(), (ramp(2, 7),)),
    "fourier": lambda: (Fourier(), (ramp(2, 3, 8, 8), (ramp(2, 1, 8, 8) > 0).float())),
    "domains": lambda: (Domains(), (ramp(2, 3, 8, 8), ramp(2, 5))),
    "spectrum_vocoder": lambda: (SpectrumVocoder(), (ramp(2, 8, 6),)),
}

MODERN_GROUPS: dict[str, dict[str, int]] = {
    "shifted": {"first": 4, "mlp.0.0": 20, "mlp.1.0": 20},
    "decoder": {"enter": 4, "narrow": 4},
    "channel_attention": {"first": 12, "qkv.0": 6, "enter": 10},
    "attributes": {"project": 10, "mix": 6, "mix#2": 4, "large": 6},
    "fourier": {"first": 10},
    "domains": {"first": 12},
    "spectrum_vocoder": {"embed": 12, "enter": 20},
}
"""The groups that these networks have, worked out by hand."""
