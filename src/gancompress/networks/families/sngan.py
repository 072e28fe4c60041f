"""The ResNet generator of SNGAN: from noise, with or without classes, and every narrower network."""

from __future__ import annotations

import math
from typing import ClassVar, TypeVar

from torch import Tensor, nn

from gancompress.networks.config import Count, LatentConfig
from gancompress.networks.layers import named_layers

LARGEST_MULTIPLE = 16
BRANCH_GAIN = math.sqrt(2)

Layer = TypeVar("Layer", nn.Conv2d, nn.Linear)


class SnganConfig(LatentConfig):
    """Configuration of a `SnganGenerator`.

    Channel groups: ``stem`` (the output of the linear layer), ``blocks.{i}.conv1``, and ``blocks.{i}.conv2``,
    the residual stream after a block, which its shortcut shares.

    Attributes:
        out_channels: Channels of the image.
        ngf: Base width.
        num_blocks: Number of blocks, each of which doubles height and width.
        halving: Whether the last block is ngf wide, and the input of each block twice as wide as that block, at most 16
            ngf, as for images of 48 pixels and more. Otherwise everything is 4 ngf wide.
        bottom_size: Height and width before the first block, in pixels.
    """

    reference_group: ClassVar[str] = "stem"

    out_channels: Count = 3
    ngf: Count = 64
    num_blocks: Count = 3
    halving: bool = False
    bottom_size: Count = 4

    @property
    def image_size(self) -> int:
        """Height and width of the generated images, in pixels."""
        return self.bottom_size * 2**self.num_blocks

    @property
    def distillation_taps(self) -> tuple[str, ...]:
        """Taps after every block."""
        return tuple(f"blocks.{i}" for i in range(self.num_blocks))

    def default_widths(self) -> dict[str, int]:
        """Return one width for the map before the first block and one for each block."""
        multiples = [min(2**i, LARGEST_MULTIPLE) if self.halving else 4 for i in reversed(range(self.num_blocks + 1))]
        widths = {"stem": self.ngf * multiples[0]}
        for i, multiple in enumerate(multiples[1:]):
            widths |= {f"blocks.{i}.conv1": self.ngf * multiple, f"blocks.{i}.conv2": self.ngf * multiple}
        return widths


class ClassBatchNorm(nn.Module):
    """Batch norm whose scale and shift depend on the class, given as a row of weights of the classes.

    Source: Dumoulin et al., A Learned Representation for Artistic Style, ICLR 2017, equation 5; in this generator:
    Miyato and Koyama, cGANs with Projection Discriminator, ICLR 2018, section 5.
    """

    def __init__(self, num_channels: int, num_classes: int) -> None:
        """Create a norm for ``num_channels`` channels; every class starts with scale 1 and shift 0."""
        super().__init__()
        self.norm = nn.BatchNorm2d(num_channels, affine=False)
        self.scale = nn.Linear(num_classes, num_channels, bias=False)
        self.shift = nn.Linear(num_classes, num_channels, bias=False)
        nn.init.ones_(self.scale.weight)
        nn.init.zeros_(self.shift.weight)

    def forward(self, features: Tensor, classes: Tensor) -> Tensor:
        """Map features [b, num_channels, h, w] and class weights [b, num_classes] to the features' shape."""
        scale, shift = (table(classes).unflatten(1, (-1, 1, 1)) for table in (self.scale, self.shift))
        return self.norm(features) * scale + shift


class UpBlock(nn.Module):
    """``shortcut(up(x)) + conv2(relu(norm2(conv1(up(relu(norm1(x)))))))``, twice as high and wide as its input."""

    def __init__(self, in_channels: int, middle: int, out_channels: int, num_classes: int) -> None:
        """Build a block from [b, in_channels, h, w] to [b, out_channels, 2 h, 2 w] through ``middle`` channels."""
        super().__init__()
        self.norm1 = _norm(in_channels, num_classes)
        self.act = nn.ReLU()
        self.up = nn.Upsample(scale_factor=2)
        self.conv1 = glorot(nn.Conv2d(in_channels, middle, 3, padding=1), BRANCH_GAIN)
        self.norm2 = _norm(middle, num_classes)
        self.conv2 = glorot(nn.Conv2d(middle, out_channels, 3, padding=1), BRANCH_GAIN)
        self.shortcut = glorot(nn.Conv2d(in_channels, out_channels, 1))

    def forward(self, features: Tensor, classes: Tensor) -> Tensor:
        """Map [b, in_channels, h, w] and class weights [b, num_classes] to [b, out_channels, 2 h, 2 w]."""
        middle = self.conv1(self.up(self.act(_normalised(self.norm1, features, classes))))
        new = self.conv2(self.act(_normalised(self.norm2, middle, classes)))
        return new + self.shortcut(self.up(features))


class SnganGenerator(nn.Module):
    """A linear layer to a small map, residual blocks that double its size, batch norm, 3x3 convolution, tanh.

    Source: Miyato et al., Spectral Normalization for GANs, ICLR 2018, tables 3 to 5; with classes: Miyato and Koyama,
    cGANs with Projection Discriminator, ICLR 2018, figure 14.
    """

    def __init__(self, config: SnganConfig) -> None:
        """Build the network at the widths of the config, with fresh weights."""
        super().__init__()
        width = config.group_widths()
        self.latent_size, self.bottom_size = config.latent_size, config.bottom_size
        self.stem = glorot(nn.Linear(config.latent_size, width["stem"] * config.bottom_size**2))
        streams = [width["stem"], *(width[f"blocks.{i}.conv2"] for i in range(config.num_blocks))]
        self.blocks = nn.ModuleList(
            UpBlock(streams[i], width[f"blocks.{i}.conv1"], streams[i + 1], config.num_classes)
            for i in range(config.num_blocks)
        )
        self.head = named_layers(
            norm=nn.BatchNorm2d(streams[-1]),
            act=nn.ReLU(),
            conv=glorot(nn.Conv2d(streams[-1], config.out_channels, 3, padding=1)),
            tanh=nn.Tanh(),
        )

    def forward(self, latent: Tensor) -> Tensor:
        """Map noise and class weights [b, latent_size + num_classes] to an image [b, out_channels, h, w] in [-1, 1].

        Height and width are ``config.image_size``.
        """
        noise, classes = latent[:, : self.latent_size], latent[:, self.latent_size :]
        features = self.stem(noise).unflatten(1, (-1, self.bottom_size, self.bottom_size))
        for block in self.blocks:
            features = block(features, classes)
        return self.head(features)


def glorot(layer: Layer, gain: float = 1.0) -> Layer:
    """Initialise a layer with weights drawn uniformly by fan in and fan out, and biases of 0.

    Source: Glorot and Bengio, AISTATS 2010, equation 16; as SNGAN was released, with gain sqrt(2) in residual branches.
    """
    nn.init.xavier_uniform_(layer.weight, gain)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def _norm(num_channels: int, num_classes: int) -> nn.Module:
    return ClassBatchNorm(num_channels, num_classes) if num_classes else nn.BatchNorm2d(num_channels)


def _normalised(norm: nn.Module, features: Tensor, classes: Tensor) -> Tensor:
    return norm(features, classes) if isinstance(norm, ClassBatchNorm) else norm(features)
