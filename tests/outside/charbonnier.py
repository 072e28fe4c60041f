"""A distance of pixels."""

from torch import Tensor

from gancompress.losses import RECONSTRUCTIONS


@RECONSTRUCTIONS.register("charbonnier")
def charbonnier(images: Tensor, targets: Tensor) -> Tensor:
    return ((images - targets).square() + 1e-6).sqrt().mean()
