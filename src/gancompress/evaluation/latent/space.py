"""Interface of latent metrics to a generator from noise."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gancompress.networks.styles import StyledGenerator

SEEN_PX = 256
"""Larger images are downsampled to this before they are compared. Source: Karras et al., CVPR 2019, released code."""


@dataclass(frozen=True)
class LatentSpace:
    """A generator with the shapes of its inputs.

    Attributes:
        draw: Function from latents and noise maps to images [b, c, h, w]. Latents are noise followed by one-hot classes
            [b, latent_size + num_classes], or styles [b, n, latent_size]. Noise maps are all their pixels,
            [b, num_noise]; None uses the generator's own.
        latent_size: Dimension of the noise and of a style.
        num_classes: Number of classes.
        mapping: Function from noise [b, latent_size] to styles [b, latent_size]; None for a generator without styles.
        num_styles: Number of styles of an image; 0 for a generator without styles.
        own_noise: Pixels of its stored noise maps, [1, num_noise]; None for a generator without them.
        device: Device of the generator.
        dtype: Type of its weights and inputs.
    """

    draw: Callable[[Tensor, Tensor | None], Tensor]
    latent_size: int
    num_classes: int = 0
    mapping: Callable[[Tensor], Tensor] | None = None
    num_styles: int = 0
    own_noise: Tensor | None = None
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    dtype: torch.dtype = torch.float32

    @classmethod
    def of(cls, network: nn.Module, latent_size: int, num_classes: int = 0) -> LatentSpace:
        """Return the space of a network in evaluation mode, with the device and type of its weights."""
        weight = next(network.parameters())
        place = {"device": weight.device, "dtype": weight.dtype}
        if not isinstance(network, StyledGenerator):
            return cls(lambda given, _: network(given), latent_size, num_classes, **place)
        maps = network.own_noise()
        return cls(
            lambda given, noise: network(given, noise="fixed" if noise is None else noise),
            latent_size,
            mapping=network.mapping,
            num_styles=network.num_styles,
            own_noise=torch.cat([each.flatten(1) for each in maps], 1) if maps else None,
            **place,
        )

    @property
    def num_noise(self) -> int:
        """Number of pixels of the noise maps."""
        return 0 if self.own_noise is None else self.own_noise.shape[1]

    def send(self, tensor: Tensor) -> Tensor:
        """Move a tensor to the generator's device and type."""
        return tensor.to(self.device, self.dtype)

    def one_hot(self, classes: Tensor) -> Tensor:
        """Return one-hot rows [b, num_classes] of class numbers [b]; of width 0 for a generator without classes."""
        if not self.num_classes:
            return torch.zeros(len(classes), 0, dtype=torch.float64)
        return F.one_hot(classes, self.num_classes).double()


@contextmanager
def full_float(device: torch.device) -> Iterator[None]:
    """Disable mixed precision and TF32, because steps of 1e-4 must not be rounded away."""
    cudnn = torch.backends.cudnn
    exact = cudnn.flags(
        enabled=cudnn.enabled, benchmark=cudnn.benchmark, deterministic=cudnn.deterministic, allow_tf32=False
    )
    with torch.autocast(device.type, enabled=False), exact:
        yield


def seen(images: Tensor) -> Tensor:
    """Preprocess images [b, 1 or 3, h, w] for perceptual distances: three channels, at most 256 px by block means."""
    factor = images.shape[2] // SEEN_PX
    shrunk = F.avg_pool2d(images, factor) if factor > 1 else images
    return shrunk.expand(-1, 3, -1, -1)
