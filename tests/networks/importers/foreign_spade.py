"""SPADE generators as NVlabs and GAN Compression lay them out, written from their description."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, leaky_relu, pad


def spectral(conv: nn.Module) -> nn.Module:
    """PyTorch's old hook: ``weight_orig``, ``weight_u``, ``weight_v``."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return nn.utils.spectral_norm(conv)


class MobileConv(nn.Module):
    def __init__(self, cin: int, cout: int, norm: nn.Module) -> None:
        super().__init__()
        self.conv = nn.Sequential(nn.Conv2d(cin, cin, 3, padding=1, groups=cin), norm, nn.Conv2d(cin, cout, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


class Norm(nn.Module):
    """The batch norm may be wider than its input, which is then padded with zeros and cut back."""

    def __init__(self, labels: int, hidden: int, channels: int, full: int, mobile: str, statistics: bool) -> None:
        super().__init__()
        norm = nn.BatchNorm2d if statistics else nn.InstanceNorm2d
        self.param_free_norm = norm(full, affine=False)
        self.mlp_shared = nn.Sequential(nn.Conv2d(labels, hidden, 3, padding=1), nn.ReLU())

        def scale() -> nn.Module:
            inner = {"instance": nn.InstanceNorm2d, "batch": nn.BatchNorm2d}.get(mobile)
            return MobileConv(hidden, channels, inner(hidden)) if inner else nn.Conv2d(hidden, channels, 3, padding=1)

        self.mlp_gamma, self.mlp_beta = scale(), scale()
        self.full = full

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        channels = x.shape[1]
        normed = self.param_free_norm(pad(x, (0, 0, 0, 0, 0, self.full - channels)))[:, :channels]
        hidden = self.mlp_shared(interpolate(labels, size=x.shape[2:], mode="nearest"))
        return normed + normed * self.mlp_gamma(hidden) + self.mlp_beta(hidden)


class Block(nn.Module):
    def __init__(self, widths: tuple[int, int, int], hidden: int, full: Sequence[int], shortcut: bool, **kind) -> None:
        super().__init__()
        cin, middle, cout = widths
        wrap = spectral if kind["spectral_norm"] else lambda conv: conv

        def norm(channels: int, at_full: int) -> Norm:
            return Norm(kind["labels"], hidden, channels, at_full, kind["mobile"], kind["statistics"])

        self.conv_0 = wrap(nn.Conv2d(cin, middle, 3, padding=1))
        self.conv_1 = wrap(nn.Conv2d(middle, cout, 3, padding=1))
        self.norm_0, self.norm_1 = norm(cin, full[0]), norm(middle, full[1])
        self.shortcut = shortcut
        if shortcut:
            self.conv_s, self.norm_s = wrap(nn.Conv2d(cin, cout, 1, bias=False)), norm(cin, full[0])

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        kept = self.conv_s(self.norm_s(x, labels)) if self.shortcut else x
        y = self.conv_0(leaky_relu(self.norm_0(x, labels), 0.2))
        return kept + self.conv_1(leaky_relu(self.norm_1(y, labels), 0.2))


class PublishedSpade(nn.Module):
    """Full: all numbers equal. Sub-network: eight numbers, and ``full`` the supernet's."""

    def __init__(
        self,
        numbers: tuple[int, ...] = (4,) * 8,
        full: int | None = None,
        labels: int = 36,
        doublings: int = 6,
        mobile: str = "",
        statistics: bool = True,
        spectral_norm: bool = False,
    ) -> None:
        super().__init__()
        kind = {"labels": labels, "mobile": mobile, "statistics": statistics, "spectral_norm": spectral_norm}
        self.doublings = doublings
        stem, *blocks = numbers
        wide = full or stem
        self.fc = nn.Conv2d(labels, 16 * stem, 3, padding=1)
        for name, number in zip(("head_0", "G_middle_0", "G_middle_1"), blocks, strict=False):
            widths = (16 * stem, 16 * number, 16 * stem)
            self.add_module(name, Block(widths, 2 * number, [16 * wide] * 2, False, **kind))
        before, full_before, self.ups = 16 * stem, 16 * wide, []
        multiples = (8, 4, 2, 1) + ((0.5,) if doublings == 7 else ())
        for i, (multiple, number) in enumerate(zip(multiples, [*blocks[3:], *blocks[-1:]], strict=False)):
            width, full_width = int(multiple * number), int(multiple * wide)
            block = Block((before, width, width), 2 * number, (full_before, full_width), True, **kind)
            self.add_module(f"up_{i}", block)
            self.ups.append(f"up_{i}")
            before, full_before = width, full_width
        self.conv_img = nn.Conv2d(before, 3, 3, padding=1)

    def forward(self, labels: Tensor) -> Tensor:
        def up(x: Tensor) -> Tensor:
            return x.repeat_interleave(2, 2).repeat_interleave(2, 3)

        start = [side // 2**self.doublings for side in labels.shape[2:]]
        x = up(self.head_0(self.fc(interpolate(labels, size=start, mode="nearest")), labels))
        x = self.G_middle_0(x, labels)
        x = self.G_middle_1(up(x) if self.doublings > 5 else x, labels)
        for name in self.ups:
            x = self.get_submodule(name)(up(x), labels)
        return torch.tanh(self.conv_img(leaky_relu(x, 0.2)))
