"""The CartoonGAN generator."""

from __future__ import annotations

from typing import ClassVar, Literal

from torch import Tensor, nn

from gancompress.models.config import Count, FamilyConfig
from gancompress.models.layers import init_weights, named_layers, norm_layer, taps_of_residual_stages


class CartoonGanConfig(FamilyConfig):
    """Configuration of a `CartoonGanGenerator`.

    Channel groups: ``stem.conv``, ``down.{0,1}.conv1``, ``down.{0,1}.conv2`` (``down.1.conv2`` is the
    residual stream, which the second convolution of every block shares), ``blocks.{i}.conv1``,
    ``up.{0,1}.conv1``, ``up.{0,1}.conv2``.

    Attributes:
        out_channels: Channels of the output image.
        ngf: Base width: stem ngf, residual stream and block middles 4 ngf.
        num_blocks: Number of residual blocks.
        norm: Kind of norm.
    """

    reference_group: ClassVar[str] = "down.1.conv2"

    out_channels: Count = 3
    ngf: Count = 64
    num_blocks: Count = 8
    norm: Literal["instance", "frozen"] = "instance"

    @property
    def distillation_taps(self) -> tuple[str, ...]:
        """After the encoder and after each third of the blocks."""
        return taps_of_residual_stages("down.1", self.num_blocks)

    def default_widths(self) -> dict[str, int]:
        """Widths ngf, 2 ngf, 4 ngf down, 4 ngf in the blocks, 2 ngf, ngf up."""
        ngf = self.ngf
        down = {
            "down.0.conv1": 2 * ngf,
            "down.0.conv2": 2 * ngf,
            "down.1.conv1": 4 * ngf,
            "down.1.conv2": 4 * ngf,
        }
        blocks = {f"blocks.{i}.conv1": 4 * ngf for i in range(self.num_blocks)}
        up = {"up.0.conv1": 2 * ngf, "up.0.conv2": 2 * ngf, "up.1.conv1": ngf, "up.1.conv2": ngf}
        return {"stem.conv": ngf} | down | blocks | up

    @property
    def size_multiple(self) -> int:
        """Two stride-2 stages."""
        return 4

    @property
    def min_size(self) -> int:
        """Reflection padding in the blocks needs two pixels at a quarter of the size."""
        return 8


class ResidualBlock(nn.Module):
    """``x + norm2(conv2(relu(norm1(conv1(x)))))``, no activation after the sum."""

    def __init__(self, stream: int, middle: int, config: CartoonGanConfig) -> None:
        """Maps [b, stream, h, w] to the same shape through ``middle`` channels."""
        super().__init__()
        self.conv1 = nn.Conv2d(stream, middle, 3, padding=1, padding_mode="reflect")
        self.norm1 = _norm(config, middle)
        self.act = nn.ReLU()
        self.conv2 = nn.Conv2d(middle, stream, 3, padding=1, padding_mode="reflect")
        self.norm2 = _norm(config, stream)

    def forward(self, stream: Tensor) -> Tensor:
        """Maps [b, stream, h, w] to the same shape."""
        return stream + self.norm2(self.conv2(self.act(self.norm1(self.conv1(stream)))))


class CartoonGanGenerator(nn.Module):
    """A ResNet generator with a second convolution at every size and an affine instance norm after each pair.

    Images are [-1, 1], RGB, NCHW; height and width divisible by 4, at least 8. The output has the
    input's size. Instance norms use the biased variance and an epsilon of 1e-9, as the published weights do.

    Source: Chen et al., CartoonGAN, CVPR 2018, section 3.1.
    """

    def __init__(self, config: CartoonGanConfig) -> None:
        """Builds the network at the widths of the config, with fresh weights."""
        super().__init__()
        width = config.group_widths()
        stem, stream, last = width["stem.conv"], width["down.1.conv2"], width["up.1.conv2"]

        def down_stage(name: str, cin: int) -> nn.Sequential:
            middle, cout = width[f"{name}.conv1"], width[f"{name}.conv2"]
            halve = nn.Conv2d(cin, middle, 3, stride=2, padding=1)
            return _resampling(config, halve, nn.Conv2d(middle, cout, 3, padding=1))

        def up_stage(name: str, cin: int) -> nn.Sequential:
            middle, cout = width[f"{name}.conv1"], width[f"{name}.conv2"]
            double = nn.ConvTranspose2d(cin, middle, 3, stride=2, padding=1, output_padding=1)
            return _resampling(config, double, nn.Conv2d(middle, cout, 3, padding=1))

        wide = nn.Conv2d(config.in_channels, stem, 7, padding=3, padding_mode="reflect")
        self.stem = named_layers(conv=wide, norm=_norm(config, stem), act=nn.ReLU())
        self.down = nn.Sequential(down_stage("down.0", stem), down_stage("down.1", width["down.0.conv2"]))
        self.blocks = nn.Sequential(
            *(ResidualBlock(stream, width[f"blocks.{i}.conv1"], config) for i in range(config.num_blocks))
        )
        self.up = nn.Sequential(up_stage("up.0", stream), up_stage("up.1", width["up.0.conv2"]))
        wide = nn.Conv2d(last, config.out_channels, 7, padding=3, padding_mode="reflect")
        self.head = named_layers(conv=wide, act=nn.Tanh())
        init_weights(self)

    def forward(self, image: Tensor) -> Tensor:
        """Maps an image [b, in_channels, h, w] to an image [b, out_channels, h, w] in [-1, 1]."""
        return self.head(self.up(self.blocks(self.down(self.stem(image)))))


def _norm(config: CartoonGanConfig, num_channels: int) -> nn.Module:
    return norm_layer(config.norm, num_channels, affine=True, eps=1e-9)


def _resampling(config: CartoonGanConfig, resample: nn.Module, conv: nn.Conv2d) -> nn.Sequential:
    return named_layers(conv1=resample, conv2=conv, norm=_norm(config, conv.out_channels), act=nn.ReLU())
