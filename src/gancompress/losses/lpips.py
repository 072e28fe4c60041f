"""LPIPS, a perceptual distance with learned weights of channels."""

from __future__ import annotations

from typing import Annotated, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor
from torch.nn import functional as F

from gancompress.errors import ConfigError
from gancompress.losses.term import Networks, Term, TermOptions, register_term
from gancompress.perception import LpipsDistance, load_lpips
from gancompress.perception.network_file import NetworkFile


@register_term
class Lpips(TermOptions):
    """LPIPS 0.1, or the same distance over any network with all channel weights 1.

    Attributes:
        trunk: ``vgg``, ``alex`` or ``squeeze``.
        weights: File of the trunk's published weights; from the cache or its authors by default.
        heads: File of the published weights of its channels; from the cache or its authors by default.
        network: TorchScript file used instead of the trunk: takes images [b, 3, h, w], RGB in [0, 1], and returns
            feature maps.
        max_px: Images with a longer side are shrunk to it.

    Source: Zhang et al., The Unreasonable Effectiveness of Deep Features as a Perceptual Metric, CVPR 2018.
    """

    kind = "lpips"

    trunk: Literal["vgg", "alex", "squeeze"] = "vgg"
    weights: str | None = None
    heads: str | None = None
    network: str | None = None
    max_px: Annotated[int, Field(ge=32)] = 256

    @model_validator(mode="after")
    def _one_network(self) -> Self:
        if self.network is not None and (self.weights or self.heads):
            raise ValueError("got 'weights' or 'heads' beside 'network', expected one or the other: a file has its own")
        return self

    def build(self, networks: Networks) -> Term:
        """Load the network and test it on an image, so that errors appear before training."""
        if networks.image.shape[1] != 3:
            raise ConfigError(f"lpips: got images of {networks.image.shape[1]} channels, expected 3; leave it out")
        distance = self._distance()
        with torch.no_grad():
            distance(networks.image, networks.image)
        return Term(lambda c: distance(*map(self._shrunk, c.of_content)).mean(), frozen=distance)

    def _distance(self) -> LpipsDistance:
        if self.network is None:
            return load_lpips(self.trunk, self.weights, self.heads)
        network = NetworkFile(self.network)
        if not network.differentiable:
            raise ConfigError(
                f"lpips: got {self.network}, which passes no gradient, expected a differentiable network; give a "
                "TorchScript file instead of ONNX"
            )
        return LpipsDistance(network)

    def _shrunk(self, images: Tensor) -> Tensor:
        longest = max(images.shape[2:])
        if longest <= self.max_px:
            return images
        size = [max(1, round(side * self.max_px / longest)) for side in images.shape[2:]]
        return F.interpolate(images, size, mode="bilinear", align_corners=False)
