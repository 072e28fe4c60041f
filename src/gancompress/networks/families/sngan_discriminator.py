"""The ResNet discriminator of SNGAN, spectrally normalised, with or without classes."""

from __future__ import annotations

from typing import ClassVar, Self

from pydantic import model_validator
from torch import Tensor, nn

from gancompress.networks.config import Count, FamilyConfig, NotNegative
from gancompress.networks.families.sngan import BRANCH_GAIN, LARGEST_MULTIPLE, glorot
from gancompress.networks.layers import spectrally_normed


class SnganDiscriminatorConfig(FamilyConfig):
    """Configuration of a `SnganDiscriminator`.

    Channel groups: ``blocks.{i}.conv1`` and ``blocks.{i}.conv2`` of the blocks that halve the size; a residual stream
    begins with ``conv2`` of each of them. The blocks that keep the size have only the group ``blocks.{i}.conv1``.

    Attributes:
        in_channels: Channels of the image, followed by one plane for each class.
        ndf: Width of the first block.
        num_downs: Blocks that halve height and width.
        num_plain: Following blocks that keep the size.
        doubling: Whether every block that halves the size is twice as wide as the one before it, at most 16 ndf, as for
            images of 48 pixels and more. Otherwise all have the same width.
        num_classes: Number of image classes, whose planes, 1 for the image's class and 0 elsewhere, come after the
            image; with 0 all channels belong to the image.
    """

    base_width: ClassVar[str] = "ndf"
    reference_group: ClassVar[str] = "blocks.0.conv2"

    ndf: Count = 128
    num_downs: Count = 2
    num_plain: NotNegative = 2
    doubling: bool = False
    num_classes: NotNegative = 0

    @property
    def num_blocks(self) -> int:
        """Number of blocks of both kinds."""
        return self.num_downs + self.num_plain

    @property
    def min_size(self) -> int:
        """Smallest image size: one pixel after all halvings."""
        return 2**self.num_downs

    def default_widths(self) -> dict[str, int]:
        """Return the widths: a stream has that of the block that begins it, the middle of a block that of its input."""
        widths: dict[str, int] = {}
        before = self.ndf
        for i in range(self.num_blocks):
            stream = self.ndf * min(2**i, LARGEST_MULTIPLE) if self.doubling and i < self.num_downs else before
            widths[f"blocks.{i}.conv1"] = before
            if i < self.num_downs:
                widths[f"blocks.{i}.conv2"] = stream
            before = stream
        return widths

    @model_validator(mode="after")
    def _image_has_channels(self) -> Self:
        if self.num_classes >= self.in_channels:
            raise ValueError(
                f"in_channels: got {self.in_channels} for an image and {self.num_classes} planes of classes, expected "
                "more channels than classes"
            )
        return self


class DiscriminatorBlock(nn.Module):
    """Two convolutions with a shortcut, then average pooling by 2 if it halves the size.

    The first block of a network reads pixels, to which it applies no ReLU, and pools before its shortcut.
    """

    def __init__(self, in_channels: int, middle: int, out_channels: int, down: bool, first: bool) -> None:
        """Build a block from [b, in_channels, h, w] to [b, out_channels, h', w'], halved with ``down``."""
        super().__init__()
        self.first = first
        self.act = nn.ReLU()
        self.conv1 = _conv(in_channels, middle, 3)
        self.conv2 = _conv(middle, out_channels, 3)
        self.pool = nn.AvgPool2d(2) if down else nn.Identity()
        self.shortcut = _conv(in_channels, out_channels, 1) if down else nn.Identity()

    def forward(self, features: Tensor) -> Tensor:
        """Map [b, in_channels, h, w] to [b, out_channels, h', w']."""
        new = self.pool(self.conv2(self.act(self.conv1(features if self.first else self.act(features)))))
        kept = self.shortcut(self.pool(features)) if self.first else self.pool(self.shortcut(features))
        return new + kept


class SnganDiscriminator(nn.Module):
    """Residual blocks, ReLU, sum over positions, linear; with classes, plus the product with a class embedding.

    All weights are divided by their largest singular value, updated by one power iteration per training step.

    Source: Miyato et al., Spectral Normalization for GANs, ICLR 2018, tables 3 to 5; with classes: Miyato and Koyama,
    cGANs with Projection Discriminator, ICLR 2018, equation 3.
    """

    def __init__(self, config: SnganDiscriminatorConfig) -> None:
        """Build the network at the widths of the config, with fresh weights."""
        super().__init__()
        width = config.group_widths()
        self.image_channels = config.in_channels - config.num_classes
        blocks, stream = [], self.image_channels
        for i in range(config.num_blocks):
            wider = width.get(f"blocks.{i}.conv2", stream)
            blocks.append(DiscriminatorBlock(stream, width[f"blocks.{i}.conv1"], wider, i < config.num_downs, i == 0))
            stream = wider
        self.blocks = nn.Sequential(*blocks)
        self.act = nn.ReLU()
        self.head = _linear(stream, 1)
        self.classes = _linear(config.num_classes, stream) if config.num_classes else None

    def forward(self, image: Tensor) -> Tensor:
        """Map an image in [-1, 1] and planes of its classes [b, in_channels, h, w] to logits [b, 1]."""
        features = self.act(self.blocks(image[:, : self.image_channels])).sum((2, 3))
        logits = self.head(features)
        if self.classes is None:
            return logits
        weights = image[:, self.image_channels :].mean((2, 3))
        return logits + (self.classes(weights) * features).sum(1, keepdim=True)


def _conv(in_channels: int, out_channels: int, kernel_size: int) -> nn.Module:
    conv = nn.Conv2d(in_channels, out_channels, kernel_size, padding=kernel_size // 2)
    return spectrally_normed(glorot(conv, BRANCH_GAIN if kernel_size > 1 else 1.0))


def _linear(in_features: int, out_features: int) -> nn.Module:
    return spectrally_normed(glorot(nn.Linear(in_features, out_features, bias=False)))
