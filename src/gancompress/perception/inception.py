"""Inception-v3 as in the definition of FID: the TensorFlow release of 2015-12-05."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Pool = Callable[[Tensor], Tensor]


def _average_pool(x: Tensor) -> Tensor:
    # TensorFlow excludes the padding from the average.
    return F.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)


def _max_pool(x: Tensor) -> Tensor:
    return F.max_pool2d(x, 3, stride=1, padding=1)


class ConvNormRelu(nn.Module):
    """Convolution without bias, batch norm with eps 1e-3, ReLU."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int | tuple[int, int],
        stride: int = 1,
        padding: int | tuple[int, int] = 0,
    ) -> None:
        """Build a layer from [b, in_channels, h, w] to [b, out_channels, h', w']."""
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel, stride=stride, padding=padding, bias=False)
        self.bn = nn.BatchNorm2d(out_channels, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        """Map [b, in_channels, h, w] to [b, out_channels, h', w']."""
        return self.bn(self.conv(x)).relu()


class BlockA(nn.Module):
    """Parallel 1x1, 5x5 and double 3x3 convolutions and a pooled branch at 35x35."""

    def __init__(self, in_channels: int, pool_channels: int) -> None:
        """Build a block from [b, in_channels, h, w] to [b, 224 + pool_channels, h, w]."""
        super().__init__()
        self.branch1x1 = ConvNormRelu(in_channels, 64, 1)
        self.branch5x5_1 = ConvNormRelu(in_channels, 48, 1)
        self.branch5x5_2 = ConvNormRelu(48, 64, 5, padding=2)
        self.branch3x3dbl_1 = ConvNormRelu(in_channels, 64, 1)
        self.branch3x3dbl_2 = ConvNormRelu(64, 96, 3, padding=1)
        self.branch3x3dbl_3 = ConvNormRelu(96, 96, 3, padding=1)
        self.branch_pool = ConvNormRelu(in_channels, pool_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map [b, in_channels, h, w] to [b, 224 + pool_channels, h, w]."""
        double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        wide = self.branch5x5_2(self.branch5x5_1(x))
        return torch.cat([self.branch1x1(x), wide, double, self.branch_pool(_average_pool(x))], 1)


class BlockB(nn.Module):
    """Reduction from 35x35 to 17x17."""

    def __init__(self, in_channels: int) -> None:
        """Build a block from [b, in_channels, h, w] to [b, 480 + in_channels, h / 2, w / 2]."""
        super().__init__()
        self.branch3x3 = ConvNormRelu(in_channels, 384, 3, stride=2)
        self.branch3x3dbl_1 = ConvNormRelu(in_channels, 64, 1)
        self.branch3x3dbl_2 = ConvNormRelu(64, 96, 3, padding=1)
        self.branch3x3dbl_3 = ConvNormRelu(96, 96, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        """Map [b, in_channels, h, w] to [b, 480 + in_channels, h / 2, w / 2]."""
        double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat([self.branch3x3(x), double, F.max_pool2d(x, 3, stride=2)], 1)


class BlockC(nn.Module):
    """Parallel 1x1, factorised 7x7 and double 7x7 convolutions and a pooled branch at 17x17."""

    def __init__(self, in_channels: int, mid_channels: int) -> None:
        """Build a block from [b, in_channels, h, w] to [b, 768, h, w]."""
        super().__init__()
        self.branch1x1 = ConvNormRelu(in_channels, 192, 1)
        self.branch7x7_1 = ConvNormRelu(in_channels, mid_channels, 1)
        self.branch7x7_2 = ConvNormRelu(mid_channels, mid_channels, (1, 7), padding=(0, 3))
        self.branch7x7_3 = ConvNormRelu(mid_channels, 192, (7, 1), padding=(3, 0))
        self.branch7x7dbl_1 = ConvNormRelu(in_channels, mid_channels, 1)
        self.branch7x7dbl_2 = ConvNormRelu(mid_channels, mid_channels, (7, 1), padding=(3, 0))
        self.branch7x7dbl_3 = ConvNormRelu(mid_channels, mid_channels, (1, 7), padding=(0, 3))
        self.branch7x7dbl_4 = ConvNormRelu(mid_channels, mid_channels, (7, 1), padding=(3, 0))
        self.branch7x7dbl_5 = ConvNormRelu(mid_channels, 192, (1, 7), padding=(0, 3))
        self.branch_pool = ConvNormRelu(in_channels, 192, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map [b, in_channels, h, w] to [b, 768, h, w]."""
        single = self.branch7x7_3(self.branch7x7_2(self.branch7x7_1(x)))
        double = self.branch7x7dbl_3(self.branch7x7dbl_2(self.branch7x7dbl_1(x)))
        double = self.branch7x7dbl_5(self.branch7x7dbl_4(double))
        return torch.cat([self.branch1x1(x), single, double, self.branch_pool(_average_pool(x))], 1)


class BlockD(nn.Module):
    """Reduction from 17x17 to 8x8."""

    def __init__(self, in_channels: int) -> None:
        """Build a block from [b, in_channels, h, w] to [b, 512 + in_channels, h / 2, w / 2]."""
        super().__init__()
        self.branch3x3_1 = ConvNormRelu(in_channels, 192, 1)
        self.branch3x3_2 = ConvNormRelu(192, 320, 3, stride=2)
        self.branch7x7x3_1 = ConvNormRelu(in_channels, 192, 1)
        self.branch7x7x3_2 = ConvNormRelu(192, 192, (1, 7), padding=(0, 3))
        self.branch7x7x3_3 = ConvNormRelu(192, 192, (7, 1), padding=(3, 0))
        self.branch7x7x3_4 = ConvNormRelu(192, 192, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        """Map [b, in_channels, h, w] to [b, 512 + in_channels, h / 2, w / 2]."""
        wide = self.branch7x7x3_4(self.branch7x7x3_3(self.branch7x7x3_2(self.branch7x7x3_1(x))))
        return torch.cat([self.branch3x3_2(self.branch3x3_1(x)), wide, F.max_pool2d(x, 3, stride=2)], 1)


class BlockE(nn.Module):
    """Parallel 1x1 and forked 3x3 convolutions and a pooled branch at 8x8."""

    def __init__(self, in_channels: int, pool: Pool) -> None:
        """Build a block from [b, in_channels, h, w] to [b, 2048, h, w].

        Args:
            in_channels: Width of the input.
            pool: Pooling of the last branch. The network of FID uses a maximum in its last block instead of the paper's
                average.
        """
        super().__init__()
        self.pool = pool
        self.branch1x1 = ConvNormRelu(in_channels, 320, 1)
        self.branch3x3_1 = ConvNormRelu(in_channels, 384, 1)
        self.branch3x3_2a = ConvNormRelu(384, 384, (1, 3), padding=(0, 1))
        self.branch3x3_2b = ConvNormRelu(384, 384, (3, 1), padding=(1, 0))
        self.branch3x3dbl_1 = ConvNormRelu(in_channels, 448, 1)
        self.branch3x3dbl_2 = ConvNormRelu(448, 384, 3, padding=1)
        self.branch3x3dbl_3a = ConvNormRelu(384, 384, (1, 3), padding=(0, 1))
        self.branch3x3dbl_3b = ConvNormRelu(384, 384, (3, 1), padding=(1, 0))
        self.branch_pool = ConvNormRelu(in_channels, 192, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map [b, in_channels, h, w] to [b, 2048, h, w]."""
        single = self.branch3x3_1(x)
        double = self.branch3x3dbl_2(self.branch3x3dbl_1(x))
        branches = [
            *(self.branch1x1(x), self.branch3x3_2a(single), self.branch3x3_2b(single)),
            *(self.branch3x3dbl_3a(double), self.branch3x3dbl_3b(double), self.branch_pool(self.pool(x))),
        ]
        return torch.cat(branches, 1)


class FidInception(nn.Module):
    """Features of FID and KID: the output of the last pooling, 2048 numbers per image.

    Its parameters have the names of the published file, without its classifier (``fc``).

    Source: Szegedy et al., Rethinking the Inception Architecture, CVPR 2016; Heusel et al., GANs Trained by a Two
    Time-Scale Update Rule, NeurIPS 2017, section 4.
    """

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = ConvNormRelu(3, 32, 3, stride=2)
        self.Conv2d_2a_3x3 = ConvNormRelu(32, 32, 3)
        self.Conv2d_2b_3x3 = ConvNormRelu(32, 64, 3, padding=1)
        self.Conv2d_3b_1x1 = ConvNormRelu(64, 80, 1)
        self.Conv2d_4a_3x3 = ConvNormRelu(80, 192, 3)
        self.Mixed_5b = BlockA(192, 32)
        self.Mixed_5c = BlockA(256, 64)
        self.Mixed_5d = BlockA(288, 64)
        self.Mixed_6a = BlockB(288)
        self.Mixed_6b = BlockC(768, 128)
        self.Mixed_6c = BlockC(768, 160)
        self.Mixed_6d = BlockC(768, 160)
        self.Mixed_6e = BlockC(768, 192)
        self.Mixed_7a = BlockD(768)
        self.Mixed_7b = BlockE(1280, _average_pool)
        self.Mixed_7c = BlockE(2048, _max_pool)

    def forward(self, images: Tensor) -> Tensor:
        """Map images [b, 3, 299, 299], RGB in [0, 1], to features [b, 2048]."""
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(2 * images - 1)))
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(F.max_pool2d(x, 3, stride=2)))
        x = self.Mixed_5d(self.Mixed_5c(self.Mixed_5b(F.max_pool2d(x, 3, stride=2))))
        x = self.Mixed_6e(self.Mixed_6d(self.Mixed_6c(self.Mixed_6b(self.Mixed_6a(x)))))
        return self.Mixed_7c(self.Mixed_7b(self.Mixed_7a(x))).mean((2, 3))
