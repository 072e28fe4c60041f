"""Networks of `measure_zoo.py`: the architectures of spandrel by their own defaults, and others in our own words."""

from __future__ import annotations

import importlib
import pkgutil
import sys
import types
import typing
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

OPTIONS: dict[str, dict[str, Any]] = {
    "DRCT": {"upsampler": "pixelshuffle", "upscale": 4},
    "HAT": {"window_size": 8},
    "LaMa": {"in_nc": 4},
    "MMRealSR": {"num_in_ch": 3, "num_out_ch": 3},
    "SAFMN": {"dim": 36},
    "SAFMNBCIE": {"dim": 36},
    "SPAN": {"num_in_ch": 3, "num_out_ch": 3},
    "Swin2SR": {"window_size": 8},
    "SwinIR": {"window_size": 8},
}
"""Arguments without a default, or whose default does not fit images of 64 pixels."""

SIDES = {"GFPGAN": 512, "IPT": 48, "RestoreFormer": 512, "Uformer": 128}
"""Sides of the input in pixels, if the architecture does not take 64."""

NOT_ALONE = {"AuraSR": "it draws from noise at every step, and has no default size"}

Network = tuple[nn.Module, tuple[Tensor, ...]]
"""A network in evaluation mode, and inputs for it."""


class Vocoder(nn.Module):
    """Waveform from a mel spectrogram by transposed convolutions and dilated residual stacks (HiFi-GAN's shape)."""

    def __init__(self, channels: int = 512, factors: tuple[int, ...] = (8, 8, 2, 2)) -> None:
        super().__init__()
        norm = nn.utils.parametrizations.weight_norm
        widths = [channels >> i for i in range(len(factors) + 1)]
        self.first, self.last = (
            norm(nn.Conv1d(80, channels, 7, padding=3)),
            norm(nn.Conv1d(widths[-1], 1, 7, padding=3)),
        )
        self.up = nn.ModuleList(
            norm(nn.ConvTranspose1d(c, c // 2, 2 * f, f, f // 2)) for c, f in zip(widths, factors, strict=False)
        )
        self.stacks = nn.ModuleList(
            nn.ModuleList(
                nn.ModuleList(
                    norm(nn.Conv1d(c, c, k, dilation=d, padding=d * (k - 1) // 2)) for d in (1, 1, 3, 1, 5, 1)
                )
                for k in (3, 7, 11)
            )
            for c in widths[1:]
        )

    def forward(self, mel: Tensor) -> Tensor:
        """Return the waveform of a mel spectrogram."""
        x = self.first(mel)
        for up, stacks in zip(self.up, self.stacks, strict=True):
            x = up(F.leaky_relu(x, 0.1))
            x = torch.stack([self._stack(stack, x) for stack in stacks]).mean(0)  # type: ignore[arg-type]
        return torch.tanh(self.last(F.leaky_relu(x)))

    @staticmethod
    def _stack(layers: nn.ModuleList, x: Tensor) -> Tensor:
        for i in range(0, len(layers), 2):
            x = x + layers[i + 1](F.leaky_relu(layers[i](F.leaky_relu(x, 0.1)), 0.1))
        return x


class SpectrumVocoder(nn.Module):
    """Waveform from a mel spectrogram by depthwise blocks and an inverse Fourier transform (Vocos' shape)."""

    def __init__(self, channels: int = 512, inner: int = 1536, blocks: int = 8, fft: int = 1024) -> None:
        super().__init__()
        self.fft, self.hop = fft, fft // 4
        self.embed = nn.Conv1d(100, channels, 7, padding=3)
        self.norms = nn.ModuleList(nn.LayerNorm(channels, 1e-6) for _ in range(blocks + 2))
        self.depthwise = nn.ModuleList(
            nn.Conv1d(channels, channels, 7, padding=3, groups=channels) for _ in range(blocks)
        )
        self.inner = nn.ModuleList(
            nn.Sequential(nn.Linear(channels, inner), nn.GELU(), nn.Linear(inner, channels)) for _ in range(blocks)
        )
        self.scale = nn.Parameter(torch.full((blocks, channels), 1 / blocks))
        self.head = nn.Linear(channels, fft + 2)
        self.register_buffer("window", torch.hann_window(fft))

    def forward(self, mel: Tensor) -> Tensor:
        """Return the waveform of a mel spectrogram."""
        x = self.norms[0](self.embed(mel).transpose(1, 2))
        for i, (depthwise, inner) in enumerate(zip(self.depthwise, self.inner, strict=True)):
            x = x + self.scale[i] * inner(self.norms[i + 1](depthwise(x.transpose(1, 2)).transpose(1, 2)))
        size, phase = self.head(self.norms[-1](x)).transpose(1, 2).chunk(2, 1)
        spectrum = size.exp().clip(max=100) * torch.complex(phase.cos(), phase.sin())
        frames = torch.fft.irfft(spectrum, self.fft, dim=1) * self.window[None, :, None]  # type: ignore[index]
        length = (frames.shape[-1] - 1) * self.hop + self.fft
        return F.fold(frames, (1, length), (1, self.fft), stride=(1, self.hop))[:, 0, 0]


class Domains(nn.Module):
    """Translation of an image to the domain of a label, which is repeated over the image (StarGAN's shape)."""

    def __init__(self, channels: int = 64, labels: int = 5, blocks: int = 6) -> None:
        super().__init__()
        wide = 4 * channels
        self.enter = nn.Sequential(
            *self._layer(nn.Conv2d(3 + labels, channels, 7, padding=3, bias=False)),
            *self._layer(nn.Conv2d(channels, 2 * channels, 4, 2, 1, bias=False)),
            *self._layer(nn.Conv2d(2 * channels, wide, 4, 2, 1, bias=False)),
        )
        self.blocks = nn.ModuleList(
            nn.Sequential(
                *self._layer(nn.Conv2d(wide, wide, 3, padding=1, bias=False)),
                *self._layer(nn.Conv2d(wide, wide, 3, padding=1, bias=False))[:2],
            )
            for _ in range(blocks)
        )
        self.leave = nn.Sequential(
            *self._layer(nn.ConvTranspose2d(wide, 2 * channels, 4, 2, 1, bias=False)),
            *self._layer(nn.ConvTranspose2d(2 * channels, channels, 4, 2, 1, bias=False)),
            nn.Conv2d(channels, 3, 7, padding=3, bias=False),
        )

    @staticmethod
    def _layer(conv: nn.Conv2d | nn.ConvTranspose2d) -> tuple[nn.Module, ...]:
        return conv, nn.InstanceNorm2d(conv.out_channels, affine=True), nn.ReLU()

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        """Return the image in the domain of the label."""
        label = label.view(label.shape[0], -1, 1, 1).repeat(1, 1, x.shape[2], x.shape[3])
        x = self.enter(torch.cat([x, label], 1))
        for block in self.blocks:
            x = x + block(x)
        return torch.tanh(self.leave(x))


def _autoencoder() -> Network:
    """Build the autoencoder of latent diffusion, smaller than its defaults; needs the package diffusers."""
    kind = importlib.import_module("diffusers.models").AutoencoderKL
    blocks = {
        "down_block_types": ["DownEncoderBlock2D"] * 3,
        "up_block_types": ["UpDecoderBlock2D"] * 3,
        "block_out_channels": [32, 64, 64],
    }
    return kind(**blocks, layers_per_block=1, norm_num_groups=8).eval(), (torch.rand(1, 3, 64, 64),)


OTHERS: dict[str, Callable[[], Network]] = {
    "AutoencoderKL": _autoencoder,
    "HiFi-GAN": lambda: (Vocoder().eval(), (torch.rand(1, 80, 32),)),
    "Vocos": lambda: (SpectrumVocoder().eval(), (torch.rand(1, 100, 32),)),
    "StarGAN": lambda: (Domains().eval(), (torch.rand(1, 3, 64, 64), torch.eye(5)[:1])),
}
"""Networks that spandrel does not have, by the name of what has their shape."""


@cache
def import_spandrel() -> dict[str, type[nn.Module]]:
    """Import spandrel without torchvision, and return the class of every architecture."""
    functional = types.ModuleType("torchvision.transforms.functional")
    for name in ("InterpolationMode", "rotate", "normalize"):
        setattr(functional, name, types.SimpleNamespace(BILINEAR=None, NEAREST=None))
    transforms, torchvision = types.ModuleType("torchvision.transforms"), types.ModuleType("torchvision")
    vars(transforms)["functional"], vars(torchvision)["transforms"] = functional, transforms
    for module in (torchvision, transforms, functional):
        sys.modules.setdefault(module.__name__, module)
    architectures = importlib.import_module("spandrel.architectures")
    found = {}
    for entry in pkgutil.iter_modules(architectures.__path__):
        if not entry.name.startswith("__"):
            module = importlib.import_module(f"spandrel.architectures.{entry.name}")
            (kind,) = typing.get_args(vars(module)[f"{entry.name}Arch"].__orig_bases__[0])
            found[entry.name] = (typing.get_args(kind) or (kind,))[0]
    return found


def names() -> list[str]:
    """Return the names of all networks."""
    return [*(name for name in import_spandrel() if name not in NOT_ALONE), *OTHERS]


def build(name: str) -> Network:
    """Return a network with weights of seed 0, and inputs for it."""
    torch.manual_seed(0)
    if name in OTHERS:
        return OTHERS[name]()
    kind = import_spandrel()[name]
    if name == "IPT":
        kind = vars(importlib.import_module("spandrel.architectures.IPT"))["IPT"]
    network = kind(**OPTIONS.get(name, {})).eval()
    side = SIDES.get(name, 64)
    first = next(m for m in network.modules() if isinstance(m, nn.Conv2d))
    channels = {"LaMa": 3, "FBCNN": 3}.get(name, first.in_channels if first.in_channels in (1, 2, 3) else 3)
    image = torch.rand(1, channels, side, side)
    return network, (image, (image[:, :1] > 0.5).float()) if name == "LaMa" else (image,)
