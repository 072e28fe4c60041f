"""The generator of StyleGAN2 (configuration F, with skip connections), and every narrower network.

Each modulated convolution is written as three steps: the input's channels times the style, a convolution whose weight
does not depend on the style, the output's channels times a factor that restores their variance. This is exact, the
channel graph sees one plain convolution, and it can be exported.

Source: Karras et al., Analyzing and Improving the Image Quality of StyleGAN, CVPR 2020, sections 2.2, 4.1 and appendix
B; the mapping network: Karras et al., A Style-Based Generator Architecture, CVPR 2019, section 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from gancompress.channels.slots import Slot
from gancompress.networks.config import Count, LatentConfig, NotNegative
from gancompress.networks.families.equalized import (
    EqualizedConv2d,
    EqualizedConvTranspose2d,
    EqualizedLinear,
    activate,
    blur,
    upsample,
)
from gancompress.networks.styles import Mixing, Noise, StyledGenerator, mixed

BOTTOM_PX = 4
EPSILON = 1e-8

Resolution = Annotated[int, Field(ge=8)]
Widest = Annotated[int, Field(ge=1, le=4096)]
Multiplier = Annotated[int | float, Field(gt=0)]
NarrowScale = Literal["exact", "paper"]


def default_width(resolution: int, channel_multiplier: float, channel_max: int) -> int:
    """Return the channels at a resolution in pixels, in both networks.

    Source: Karras et al., CVPR 2020, the released networks.
    """
    return min(channel_max, max(1, int(channel_multiplier * 2**14 / resolution)))


def check_resolution(resolution: int) -> None:
    """Raise ValueError unless the resolution is a power of two."""
    if resolution.bit_count() > 1:
        raise ValueError(
            f"resolution: got {resolution}, expected a power of two, such as {1 << resolution.bit_length()}"
        )


class StyleGan2Config(LatentConfig):
    """Configuration of a `StyleGan2Generator`.

    Channel groups: ``input``, the learned constant, and ``layers.{i}.conv``. Their widths in this order are the
    literature's ``net_shape``. Styles are as long as the noise, and the mapping network keeps its width.

    Attributes:
        latent_size: Dimension of the noise and of a style.
        num_classes: Always 0; classes are not supported.
        out_channels: Channels of the image.
        resolution: Height and width of the image in pixels, a power of two.
        channel_multiplier: Channels from 64 pixels on, in multiples of 128 at 128 pixels; published with 2. A fraction
            such as 0.125 narrows the layers of high resolution, which cost most.
        channel_max: The most channels of a layer.
        num_mapping_layers: Linear layers from noise to style.
        noise_maps: Whether every styled layer adds a noise map; without them an image depends on its latent alone.
        narrow_scale: Scale of the weights of a narrow network: ``exact`` keeps the factors of the original network, so
            that the channels compute the same; ``paper`` uses those of the narrow widths, as in the training of the
            released networks of Content-Aware GAN Compression, which scales the RGB outputs of the last layers by
            sqrt(old / new width).
    """

    base_width: ClassVar[str] = "channel_max"
    reference_group: ClassVar[str] = "input"
    written_forms: ClassVar[tuple[str, ...]] = ("net_shape",)

    latent_size: Count = 512
    num_classes: NotNegative = 0
    out_channels: Count = 3
    resolution: Resolution = 256
    channel_multiplier: Multiplier = 2
    channel_max: Widest = 512
    num_mapping_layers: Count = 8
    noise_maps: bool = True
    narrow_scale: NarrowScale = "exact"

    @property
    def image_size(self) -> int:
        """Height and width of the generated images, in pixels."""
        return self.resolution

    @property
    def num_layers(self) -> int:
        """Number of styled layers: one at 4 pixels, two at each resolution above."""
        return 2 * (self.resolution.bit_length() - 1) - 3

    @property
    def num_styles(self) -> int:
        """Number of styles of an image: one for each layer, and one for the last RGB output."""
        return self.num_layers + 1

    def layer_px(self, index: int) -> int:
        """Return the height and width of a layer's output, in pixels."""
        return BOTTOM_PX << ((index + 1) // 2)

    @property
    def distillation_taps(self) -> tuple[str, ...]:
        """Taps after the last layer of every resolution."""
        return tuple(f"layers.{i}" for i in range(0, self.num_layers, 2))

    @property
    def image_taps(self) -> tuple[str, ...]:
        """Paths of the multi-scale RGB outputs."""
        return tuple(f"to_rgb.{i // 2}" for i in range(0, self.num_layers, 2))

    def slots(self, form: str) -> tuple[Slot, ...]:
        """Return one channel group for each number of ``net_shape``. Raises PlanError for another form."""
        if form != "net_shape":
            return super().slots(form)
        return tuple(Slot(group, (group,)) for group in self.default_widths())

    def string_forms(self, *, legacy: bool) -> dict[int, str]:
        """Return ``net_shape`` for one number per group."""
        return {} if legacy else {len(self.default_widths()): "net_shape"}

    def default_widths(self) -> dict[str, int]:
        """Return the widths of the constant, then of the layers."""
        sizes = {"input": BOTTOM_PX} | {f"layers.{i}.conv": self.layer_px(i) for i in range(self.num_layers)}
        return {group: default_width(px, self.channel_multiplier, self.channel_max) for group, px in sizes.items()}

    @model_validator(mode="after")
    def _possible(self) -> Self:
        check_resolution(self.resolution)
        if self.num_classes:
            raise ValueError(f"num_classes: got {self.num_classes}, expected 0: StyleGAN2 has no classes here")
        return self


class MappingNetwork(nn.Module):
    """Mapping network from noise to a style: normalised noise, then linear layers, each followed by leaky ReLU."""

    keeps_channels: ClassVar[bool] = True

    def __init__(self, size: int, num_layers: int, rate: float = 0.01) -> None:
        """Build layers of ``size`` inputs and outputs, with ``rate`` times the learning rate of the other layers."""
        super().__init__()
        self.layers = nn.ModuleList(EqualizedLinear(size, size, rate=rate) for _ in range(num_layers))

    def forward(self, latent: Tensor) -> Tensor:
        """Map noise [b, size] to styles [b, size]."""
        style = latent * torch.rsqrt(latent.square().mean(1, keepdim=True) + EPSILON)
        for layer in self.layers:
            style = activate(layer(style))
        return style


class ConstantInput(nn.Module):
    """The learned constant that is the first feature map of every image."""

    channel_axis = 1
    """Axis of the weight that holds the output channels."""

    def __init__(self, num_channels: int) -> None:
        """Draw a map of 4x4 pixels from N(0, 1)."""
        super().__init__()
        self.weight = nn.Parameter(torch.randn(1, num_channels, BOTTOM_PX, BOTTOM_PX))

    def forward(self, batch_size: int) -> Tensor:
        """Return the map for every image, [batch_size, num_channels, 4, 4]."""
        return self.weight.expand(batch_size, -1, -1, -1)


class StyledLayer(nn.Module):
    """A modulated convolution, noise, bias and leaky ReLU; with ``up`` it doubles height and width."""

    noise: Tensor

    def __init__(
        self, in_channels: int, out_channels: int, px: int, style_size: int, up: bool, adds_noise: bool, own_scale: bool
    ) -> None:
        """Build a layer with ``out_channels`` at ``px`` pixels."""
        super().__init__()
        self.modulation = EqualizedLinear(style_size, in_channels, first_bias=1.0)
        self.conv = (
            EqualizedConvTranspose2d(in_channels, out_channels, 3, own_scale=own_scale)
            if up
            else EqualizedConv2d(in_channels, out_channels, 3, padding=1, bias=False, own_scale=own_scale)
        )
        self.bias = nn.Parameter(torch.zeros(out_channels))
        if adds_noise:
            self.noise_strength = nn.Parameter(torch.zeros(1))
            self.register_buffer("noise", torch.randn(1, 1, px, px))

    def forward(self, features: Tensor, style: Tensor, noise: Tensor | None) -> Tensor:
        """Map [b, in, h, w], styles [b, style_size] and noise, if any, [b or 1, 1, h', w'] to [b, out, h', w']."""
        scales = self.modulation(style)
        features = self.conv(features * scales[:, :, None, None])
        factors = self.demodulation(scales)
        if isinstance(self.conv, EqualizedConvTranspose2d):
            features, factors = blur(features, padding=1), 4 * factors  # three of four pixels were inserted as 0
        features = features * factors[:, :, None, None]
        if noise is not None:
            features = torch.addcmul(features, noise, self.noise_strength)
        return activate(features + self.bias[:, None, None])

    def demodulation(self, scales: Tensor) -> Tensor:
        """Return the factors that divide every output channel by the norm of its modulated filter, [b, out].

        Source: Karras et al., CVPR 2020, equation 3.
        """
        norms = self._of_pairs(self.conv.weight.square())
        return torch.rsqrt(((scales * self.conv.factor).square()[:, None] * norms).sum(2) + EPSILON)

    def effective_norms(self, style: Tensor) -> Tensor:
        """Return the L1 norm of every pair's 3x3 filter after modulation and demodulation by a style, [b, out, in]."""
        scales = self.modulation(style)
        norms = self._of_pairs(self.conv.weight.abs()) * self.conv.factor
        return norms * scales[:, None].abs() * self.demodulation(scales)[:, :, None]

    def _of_pairs(self, taps: Tensor) -> Tensor:
        """Sum over the taps of every pair of channels, [out, in]."""
        sums = taps.sum((2, 3))
        return sums.t() if isinstance(self.conv, EqualizedConvTranspose2d) else sums


class ToRgb(nn.Module):
    """A modulated 1x1 convolution to an image, without demodulation, added to the upsampled coarser image."""

    def __init__(self, in_channels: int, out_channels: int, style_size: int, own_scale: bool) -> None:
        """Build a layer with ``out_channels``."""
        super().__init__()
        self.modulation = EqualizedLinear(style_size, in_channels, first_bias=1.0)
        self.conv = EqualizedConv2d(in_channels, out_channels, 1, own_scale=own_scale)

    def forward(self, features: Tensor, style: Tensor, coarser: Tensor | None = None) -> Tensor:
        """Map [b, in, h, w], styles [b, style_size] and an image [b, out, h / 2, w / 2] to [b, out, h, w]."""
        image = self.conv(features * self.modulation(style)[:, :, None, None])
        return image if coarser is None else image + upsample(coarser)


class StyleGan2Generator(StyledGenerator):
    """Mapping network, a learned constant, styled layers, and the sum of the RGB outputs of all resolutions.

    Images are about in [-1, 1], without a bound.
    """

    def __init__(self, config: StyleGan2Config) -> None:
        """Build the network at the widths of the config, with fresh weights."""
        super().__init__()
        widths = list(config.group_widths().values())
        size, own_scale = config.latent_size, config.narrow_scale == "paper"
        self.noise_maps = config.noise_maps
        self.num_styles = config.num_styles
        self.mapping = MappingNetwork(size, config.num_mapping_layers)
        self.input = ConstantInput(widths[0])
        self.layers = nn.ModuleList(
            StyledLayer(widths[i], widths[i + 1], config.layer_px(i), size, i % 2 == 1, config.noise_maps, own_scale)
            for i in range(config.num_layers)
        )
        self.to_rgb = nn.ModuleList(
            ToRgb(widths[i + 1], config.out_channels, size, own_scale) for i in range(0, config.num_layers, 2)
        )

    def forward(
        self, latent: Tensor, noise: Noise = None, mixed_with: Mixing | None = None, offset: Tensor | None = None
    ) -> Tensor:
        """Generate an image [b, out_channels, h, w].

        Args:
            latent: Noise [b, latent_size]; or styles [b, n, latent_size], one for all layers or ``num_styles`` (W+).
            noise: The noise maps of the layers.
            mixed_with: Other noise, whose styles the finer layers use.
            offset: Offset added to all styles of an image, [b, latent_size].
        """
        return self.images(latent, noise, mixed_with, offset)[-1]

    def images(
        self, latent: Tensor, noise: Noise = None, mixed_with: Mixing | None = None, offset: Tensor | None = None
    ) -> list[Tensor]:
        """Return the multi-scale RGB outputs, the image last; arguments as in `forward`."""
        styles = self.styles(latent, mixed_with)
        styles = styles if offset is None else styles + offset[:, None]
        maps = self._noise_maps(noise, styles.shape[0])
        features = self.input(styles.shape[0])
        drawn: list[Tensor] = []
        for i, layer in enumerate(self.layers):
            features = layer(features, styles[:, i], maps[i])
            if i % 2 == 0:
                coarser = drawn[-1] if drawn else None
                drawn.append(self.to_rgb[i // 2](features, styles[:, i + 1], coarser))
        return drawn

    def styles(self, latent: Tensor, mixed_with: Mixing | None = None) -> Tensor:
        """Return the style of each layer and the last RGB output, [b, num_styles, latent_size]; see `forward`."""
        styles = latent if latent.dim() == 3 else self.mapping(latent)[:, None]
        styles = styles.expand(-1, self.num_styles, -1)
        if mixed_with is None:
            return styles
        return mixed(styles, self.styles(mixed_with.latent), mixed_with.crossover)

    def new_noise(self, batch_size: int) -> list[Tensor]:
        """Draw noise maps from torch's global generator, for several networks to share."""
        return [torch.randn_like(layer.noise.expand(batch_size, -1, -1, -1)) for layer in self._styled()]

    def own_noise(self) -> list[Tensor]:
        """Return the stored noise maps."""
        return [layer.noise for layer in self._styled()]

    def _noise_maps(self, noise: Noise, batch_size: int) -> Sequence[Tensor] | Sequence[None]:
        if not self.noise_maps:
            return [None] * len(self.layers)
        own = self.own_noise()
        if isinstance(noise, Tensor):
            parts = noise.split([each.numel() for each in own], 1)
            return [part.unflatten(1, each.shape[1:]) for part, each in zip(parts, own, strict=True)]
        if noise == "random" or (noise is None and self.training):
            return self.new_noise(batch_size)
        return own if noise is None or noise == "fixed" or not noise else noise

    def _styled(self) -> list[StyledLayer]:
        return [layer for layer in self.layers if isinstance(layer, StyledLayer) and self.noise_maps]
