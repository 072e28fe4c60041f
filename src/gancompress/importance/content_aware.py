"""Content-aware channel importance.

Source: Liu et al., Content-Aware GAN Compression, CVPR 2021, section 3.2.
"""

from __future__ import annotations

import torch
from torch import Tensor

from gancompress.channels import ChannelGraph
from gancompress.errors import ConfigError
from gancompress.importance.probe import OutgoingGradients, Probe, inputs_of
from gancompress.importance.scores import Scores
from gancompress.networks.given import call
from gancompress.networks.outputs import image_of
from gancompress.perception.content_masks import Mask


def content_aware(
    probe: Probe,
    graph: ChannelGraph,
    mask: Mask,
    *,
    noise: float = 0.05,
    num_images: int = 400,
    batch_size: int = 10,
    image_layers: bool = False,
) -> Scores:
    """Return the gradient of the sum of ``|noisy image - image|`` for the filters that read a channel.

    Args:
        probe: The generator.
        graph: Its graph.
        mask: Mask of the content.
        noise: Share of the content's pixels that become salt or pepper.
        num_images: Images to draw.
        batch_size: Images whose gradients are summed before their absolute value is taken.
        image_layers: Whether layers that write the image count beside the others that read a channel.

    Raises:
        ConfigError: No image has a pixel of content.
    """
    gradients = OutgoingGradients(probe.network, graph, image_layers)
    draw = torch.Generator().manual_seed(probe.seed)
    seen, content_pixels = 0, 0
    for given, names in inputs_of(probe, num_images, batch_size):
        image = image_of(call(probe.network, given))
        content = mask(image.detach(), names)
        seen, content_pixels = seen + len(image), content_pixels + int(content.sum())
        replaced, values = salt_and_pepper(content, noise, draw)
        gradients.add(noise_difference(image, replaced, values))
    if not content_pixels:
        raise ConfigError(
            f"score: content_aware found no content in any of {seen} images, expected some; check the mask, or use "
            "mask none"
        )
    return gradients.scores


def salt_and_pepper(content: Tensor, share: float, draw: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw salt-and-pepper noise on the content.

    Args:
        content: The mask, [b, 1, h, w].
        share: Fraction of the content's pixels that are replaced.
        draw: Random generator on the CPU.

    Returns:
        Mask of replaced pixels, zeros and ones [b, 1, h, w], and values -1 or 1 [b, 1, h, w], the same for all colours.
    """
    shape = content.shape
    replaced = (torch.rand(shape, generator=draw) < share).to(content) * content
    values = (torch.randint(0, 2, shape, generator=draw) * 2 - 1).to(content)
    return replaced, values


def noise_difference(image: Tensor, replaced: Tensor, values: Tensor) -> Tensor:
    """Return the sum over pixels and colours of ``|noisy - image|``; only replaced pixels differ.

    Args:
        image: [b, c, h, w].
        replaced: Zeros and ones [b, 1, h, w].
        values: Values of the replaced pixels, [b, 1, h, w].
    """
    return ((values - image).abs() * replaced).sum()
