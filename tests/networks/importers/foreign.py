"""Networks as other programs lay them out, written from their description, to compare imported ones with."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

Norm = Callable[[int], nn.Module]


def plain_instance_norm(channels: int) -> nn.Module:
    return nn.InstanceNorm2d(channels)


def affine_instance_norm(channels: int) -> nn.Module:
    return nn.InstanceNorm2d(channels, affine=True)


def old_instance_norm(channels: int) -> nn.Module:
    """Running statistics in the state dict, as before torch 0.4, which were not used."""
    norm = nn.InstanceNorm2d(channels)
    norm.register_buffer("running_mean", torch.zeros(channels))
    norm.register_buffer("running_var", torch.ones(channels))
    norm.forward = lambda features: nn.functional.instance_norm(features)
    return norm


class Separable(nn.Module):
    def __init__(self, cin: int, cout: int) -> None:
        super().__init__()
        depthwise = nn.Conv2d(cin, cin, 3, groups=cin)
        self.conv = nn.Sequential(depthwise, nn.InstanceNorm2d(cin), nn.Conv2d(cin, cout, 1))

    def forward(self, features: Tensor) -> Tensor:
        return self.conv(features)


class Residual(nn.Module):
    def __init__(
        self, conv: Callable[[int, int], nn.Module], stream: int, middle: int, norms: tuple[Norm, Norm], dropout: bool
    ) -> None:
        super().__init__()
        layers = [nn.ReflectionPad2d(1), conv(stream, middle), norms[0](middle), nn.ReLU(True)]
        layers += [nn.Dropout(0.5)] if dropout else []
        layers += [nn.ReflectionPad2d(1), conv(middle, stream), norms[1](stream)]
        self.conv_block = nn.Sequential(*layers)

    def forward(self, stream: Tensor) -> Tensor:
        return stream + self.conv_block(stream)


class SequentialResnet(nn.Module):
    """CycleGAN, GAN Compression and GAN Slimming: one sequence under ``model``."""

    def __init__(
        self,
        widths: tuple[int, int, int, int, int] = (5, 6, 8, 6, 5),
        middles: tuple[int, ...] = (7, 8, 9, 7, 8, 9),
        separable: bool = False,
        dropout: bool = False,
        norm: Norm = plain_instance_norm,
        stream_norm: Norm | None = None,
    ) -> None:
        super().__init__()
        stem, down, stream, up, last = widths
        on_stream = stream_norm or norm
        bias = not isinstance(norm(1), nn.BatchNorm2d)

        def dense(cin: int, cout: int) -> nn.Module:
            return nn.Conv2d(cin, cout, 3, bias=bias)

        def half(cin: int, cout: int, norm: Norm) -> list[nn.Module]:
            return [nn.Conv2d(cin, cout, 3, 2, 1, bias=bias), norm(cout), nn.ReLU(True)]

        def double(cin: int, cout: int) -> list[nn.Module]:
            return [nn.ConvTranspose2d(cin, cout, 3, 2, 1, 1, bias=bias), norm(cout), nn.ReLU(True)]

        layers = [nn.ReflectionPad2d(3), nn.Conv2d(3, stem, 7, bias=bias), norm(stem), nn.ReLU(True)]
        layers += half(stem, down, norm) + half(down, stream, on_stream)
        conv = Separable if separable else dense
        layers += [Residual(conv, stream, middle, (norm, on_stream), dropout) for middle in middles]
        layers += double(stream, up) + double(up, last)
        layers += [nn.ReflectionPad2d(3), nn.Conv2d(last, 3, 7), nn.Tanh()]
        self.model = nn.Sequential(*layers)

    def forward(self, image: Tensor) -> Tensor:
        return self.model(image)


class Nest(nn.Module):
    """A stage of pix2pix's U-Net with the next one inside."""

    def __init__(self, outer: int, inner: int, norm: Norm, inside: Nest | None, outermost: bool, dropout: bool) -> None:
        super().__init__()
        self.outermost = outermost
        bias = isinstance(norm(1), nn.InstanceNorm2d)
        down = nn.Conv2d(3 if outermost else outer, inner, 4, 2, 1, bias=bias)
        up = nn.ConvTranspose2d(inner * (1 if inside is None else 2), outer, 4, 2, 1, bias=bias or outermost)
        if outermost:
            assert inside is not None
            layers = [down, inside, nn.ReLU(True), up, nn.Tanh()]
        elif inside is None:
            layers = [nn.LeakyReLU(0.2, True), down, nn.ReLU(True), up, norm(outer)]
        else:
            layers = [nn.LeakyReLU(0.2, True), down, norm(inner), inside, nn.ReLU(True), up, norm(outer)]
            layers += [nn.Dropout(0.5)] if dropout else []
        self.model = nn.Sequential(*layers)

    def forward(self, features: Tensor) -> Tensor:
        return self.model(features) if self.outermost else torch.cat([features, self.model(features)], 1)


class NestedUnet(nn.Module):
    """pix2pix's U-Net of equal narrow widths inside, as many stages as asked for."""

    def __init__(self, num_downs: int, norm: Norm, ngf: int = 3, dropout: bool = False) -> None:
        super().__init__()
        widths = [ngf * min(2**i, 8) for i in range(num_downs)]
        stage = None
        for i in reversed(range(1, num_downs)):
            stage = Nest(widths[i - 1], widths[i], norm, stage, False, dropout)
        self.model = Nest(3, widths[0], norm, stage, True, dropout)

    def forward(self, image: Tensor) -> Tensor:
        return self.model(image)


class ScaleShiftNorm(nn.Module):
    """Instance norm by its formula: biased variance, epsilon 1e-9, scale and shift."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(channels))
        self.shift = nn.Parameter(torch.zeros(channels))

    def forward(self, features: Tensor) -> Tensor:
        variance, mean = torch.var_mean(features, dim=(2, 3), correction=0, keepdim=True)
        normal = (features - mean) / (variance + 1e-9).sqrt()
        return self.scale[:, None, None] * normal + self.shift[:, None, None]


class NumberedCartoonGan(nn.Module):
    """CartoonGAN with convolutions and norms as numbered attributes."""

    def __init__(self, ngf: int = 4) -> None:
        super().__init__()
        a, b, c = ngf, 2 * ngf, 4 * ngf
        pairs = {"conv02": (a, b, 2), "conv03": (b, c, 2)} | {f"conv{i:02}": (c, c, 0) for i in range(4, 12)}
        self.conv01_1, self.in01_1 = nn.Conv2d(3, a, 7), ScaleShiftNorm(a)
        for name, (cin, cout, stride) in pairs.items():
            first = nn.Conv2d(cin, cout, 3, 2, 1) if stride else nn.Conv2d(cin, cout, 3)
            self.add_module(f"{name}_1", first)
            self.add_module(f"{name}_2", nn.Conv2d(cout, cout, 3, padding=1 if stride else 0))
            self.add_module(f"{name.replace('conv', 'in')}_1", ScaleShiftNorm(cout))
            if not stride:
                self.add_module(f"{name.replace('conv', 'in')}_2", ScaleShiftNorm(cout))
        for i, (cin, cout) in enumerate([(c, b), (b, a)], start=1):
            self.add_module(f"deconv{i:02}_1", nn.ConvTranspose2d(cin, cout, 3, 2, 1, 1))
            self.add_module(f"deconv{i:02}_2", nn.Conv2d(cout, cout, 3, padding=1))
            self.add_module(f"in{11 + i}_1", ScaleShiftNorm(cout))
        self.deconv03_1 = nn.Conv2d(a, 3, 7)

    def forward(self, image: Tensor) -> Tensor:
        layer = self.get_submodule

        def reflect(features: Tensor, by: int) -> Tensor:
            return nn.functional.pad(features, (by, by, by, by), mode="reflect")

        x = self.in01_1(self.conv01_1(reflect(image, 3))).relu()
        for i in ("02", "03"):
            x = layer(f"in{i}_1")(layer(f"conv{i}_2")(layer(f"conv{i}_1")(x))).relu()
        for i in range(4, 12):
            y = layer(f"in{i:02}_1")(layer(f"conv{i:02}_1")(reflect(x, 1))).relu()
            x = layer(f"in{i:02}_2")(layer(f"conv{i:02}_2")(reflect(y, 1))) + x
        for i, norm in (("01", "12"), ("02", "13")):
            x = layer(f"in{norm}_1")(layer(f"deconv{i}_2")(layer(f"deconv{i}_1")(x))).relu()
        return self.deconv03_1(reflect(x, 3)).tanh()


class SequentialPatchGan(nn.Module):
    """Discriminators under ``model``; GAN Slimming averages the logits."""

    def __init__(
        self, n_layers: int = 3, norm: Norm = plain_instance_norm, averaged: bool = False, ndf: int = 4
    ) -> None:
        super().__init__()
        self.averaged = averaged
        bias = not isinstance(norm(1), nn.BatchNorm2d)
        widths = [ndf * min(2**i, 8) for i in range(n_layers + 1)]
        layers: list[nn.Module] = [nn.Conv2d(3, ndf, 4, 2, 1), nn.LeakyReLU(0.2, True)]
        for i in range(1, n_layers + 1):
            conv = nn.Conv2d(widths[i - 1], widths[i], 4, 2 if i < n_layers else 1, 1, bias=bias)
            layers += [conv, norm(widths[i]), nn.LeakyReLU(0.2, True)]
        self.model = nn.Sequential(*layers, nn.Conv2d(widths[-1], 1, 4, 1, 1))

    def forward(self, image: Tensor) -> Tensor:
        logits = self.model(image)
        return nn.functional.avg_pool2d(logits, logits.shape[2:]).flatten(1) if self.averaged else logits


class SequentialPixelGan(nn.Module):
    """1x1 discriminator under ``net``."""

    def __init__(self, norm: Norm = plain_instance_norm, ndf: int = 4) -> None:
        super().__init__()
        bias = not isinstance(norm(1), nn.BatchNorm2d)
        second = [nn.Conv2d(ndf, 2 * ndf, 1, bias=bias), norm(2 * ndf), nn.LeakyReLU(0.2, True)]
        self.net = nn.Sequential(
            nn.Conv2d(3, ndf, 1), nn.LeakyReLU(0.2, True), *second, nn.Conv2d(2 * ndf, 1, 1, bias=bias)
        )

    def forward(self, image: Tensor) -> Tensor:
        return self.net(image)


class NumberedUpBlock(nn.Module):
    """An up-block of AutoGAN's SNGAN."""

    def __init__(self, cin: int, cout: int) -> None:
        super().__init__()
        self.c1, self.c2 = nn.Conv2d(cin, cout, 3, padding=1), nn.Conv2d(cout, cout, 3, padding=1)
        self.b1, self.b2, self.c_sc = nn.BatchNorm2d(cin), nn.BatchNorm2d(cout), nn.Conv2d(cin, cout, 1)

    def forward(self, x: Tensor) -> Tensor:
        def double(features: Tensor) -> Tensor:
            return features.repeat_interleave(2, 2).repeat_interleave(2, 3)

        return self.c_sc(double(x)) + self.c2(self.b2(self.c1(double(self.b1(x).relu()))).relu())


class NumberedSngan(nn.Module):
    """AutoGAN's SNGAN generator: blocks numbered from 2."""

    def __init__(self, widths: tuple[int, ...] = (8, 8, 8, 8), bottom: int = 4, latent: int = 6) -> None:
        super().__init__()
        self.shape, self.last = (widths[0], bottom, bottom), len(widths) + 1
        self.l1 = nn.Linear(latent, widths[0] * bottom**2)
        for i in range(1, len(widths)):
            self.add_module(f"block{i + 1}", NumberedUpBlock(widths[i - 1], widths[i]))
        self.add_module(f"b{self.last}", nn.BatchNorm2d(widths[-1]))
        self.add_module(f"c{self.last}", nn.Conv2d(widths[-1], 3, 3, padding=1))

    def forward(self, z: Tensor) -> Tensor:
        x = self.l1(z).view(len(z), *self.shape)
        for i in range(2, self.last):
            x = self.get_submodule(f"block{i}")(x)
        return self.get_submodule(f"c{self.last}")(self.get_submodule(f"b{self.last}")(x).relu()).tanh()


class NumberedBlock(nn.Module):
    """A block of AutoGAN's SNGAN discriminator, spectrally normed by PyTorch's old hooks."""

    def __init__(self, cin: int, cout: int, down: bool, first: bool = False) -> None:
        super().__init__()
        norm = nn.utils.spectral_norm
        middle = cout if first else cin
        self.down, self.first = down, first
        self.c1, self.c2 = norm(nn.Conv2d(cin, middle, 3, padding=1)), norm(nn.Conv2d(middle, cout, 3, padding=1))
        if down:
            self.c_sc = norm(nn.Conv2d(cin, cout, 1))

    def forward(self, x: Tensor) -> Tensor:
        new = self.c2(self.c1(x if self.first else x.relu()).relu())
        if not self.down:
            return x + new
        return nn.functional.avg_pool2d(new, 2) + nn.functional.avg_pool2d(self.c_sc(x), 2)


class NumberedSnganDiscriminator(nn.Module):
    """AutoGAN's SNGAN discriminator: blocks numbered from 1."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.block1, self.block2 = NumberedBlock(3, width, True, first=True), NumberedBlock(width, width, True)
        self.block3, self.block4 = NumberedBlock(width, width, False), NumberedBlock(width, width, False)
        self.l5 = nn.utils.spectral_norm(nn.Linear(width, 1, bias=False))

    def forward(self, image: Tensor) -> Tensor:
        features = self.block4(self.block3(self.block2(self.block1(image))))
        return self.l5(features.relu().sum((2, 3)))
