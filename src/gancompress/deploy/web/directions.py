"""Directions in noise space that change an image most.

The downscaled image of a generator has a Jacobian J with respect to the noise; the eigenvectors of the mean of J^T J
are the directions in which a small step changes the image most on average. J^T u for random u samples it, at one
backward pass each.

Source: Ramesh et al., A Spectral Regularizer for Unsupervised Disentanglement, 2018, section 3 (the leading right
singular vectors of the Jacobian).
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

_SMALL_PX = 8


def principal_directions(
    network: nn.Module, noise_size: int, num_classes: int = 0, count: int = 8, latents: int = 8, probes: int = 8
) -> list[list[float]]:
    """Return orthogonal unit vectors, the one that changes images most first.

    Args:
        network: From [b, noise_size + num_classes] to images [b, c, h, w], in evaluation mode.
        noise_size: Number of noise values.
        num_classes: Number of classes after them.
        count: Largest number of directions.
        latents: Number of images that the mean is over.
        probes: Number of random vectors u per image.

    Returns:
        Directions of ``noise_size`` numbers each; the number of largest magnitude is positive.
    """
    draw = torch.Generator().manual_seed(0)
    noise = torch.randn(latents, noise_size, generator=draw).requires_grad_()
    classes = torch.eye(num_classes)[torch.arange(latents) % num_classes] if num_classes else torch.zeros(latents, 0)
    images = F.adaptive_avg_pool2d(network(torch.cat([noise, classes], 1)), _SMALL_PX)
    gradients = [
        torch.autograd.grad(images, noise, torch.randn(images.shape, generator=draw), retain_graph=True)[0]
        for _ in range(probes)
    ]
    found = torch.linalg.svd(torch.cat(gradients), full_matrices=False).Vh[:count]
    signs = found.gather(1, found.abs().argmax(1, keepdim=True)).sign()
    return (found * signs).tolist()
