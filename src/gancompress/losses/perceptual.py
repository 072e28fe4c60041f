"""Perceptual loss: content and style distances in the feature maps of a trained network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal, Self

import torch
from pydantic import BeforeValidator, Field, model_validator
from torch import Tensor, nn

from gancompress.errors import ConfigError, nearest
from gancompress.losses.reconstruction import find_reconstruction
from gancompress.losses.term import Networks, Term, TermOptions, register_term
from gancompress.options import Options, as_tuple
from gancompress.perception import freeze, load_trunk
from gancompress.perception.precision import full_precision


@dataclass(frozen=True)
class PerceptualSettings:
    """One published perceptual loss.

    Attributes:
        trunk: Name of the trunk, or the path of a network file.
        taps: Its layers, from first to last; None for a network file, which returns its own maps.
        content: Weight of the difference of each feature map, one per tap; 0 skips the map.
        style: Weight of the difference of each Gram matrix, one per tap; 0 skips the map.
        content_distance: A name in `RECONSTRUCTIONS`.
        style_distance: A name in `RECONSTRUCTIONS`.
        input_range: Range of the trunk's input: "[0, 1]" converts images from [-1, 1], "[-1, 1]" leaves them unchanged.
        normalize: Whether images are then normalized by the ImageNet mean and standard deviation.
    """

    trunk: str
    taps: tuple[str, ...] | None
    content: tuple[float, ...]
    style: tuple[float, ...]
    content_distance: str = "l1"
    style_distance: str = "l2"
    input_range: Literal["[0, 1]", "[-1, 1]"] = "[0, 1]"
    normalize: bool = False


_VGG16_TAPS = ("relu1_2", "relu2_2", "relu3_3", "relu4_3")
_VGG19_TAPS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")

PERCEPTUAL: dict[str, PerceptualSettings] = {
    # Wang et al., GAN Slimming, ECCV 2020, eq. 3 and released weights.
    "gan_slimming": PerceptualSettings("vgg16", _VGG16_TAPS, content=(1, 0, 0, 0), style=(1e5,) * 4),
    # Ren et al., OMGD, ICCV 2021, eq. 4-5 and released weights.
    "omgd": PerceptualSettings("vgg16", _VGG16_TAPS, content=(0, 10, 0, 0), style=(1e4,) * 4, style_distance="l1"),
    # Park et al., SPADE, CVPR 2019, appendix A, after pix2pixHD; images are not converted.
    "spade": PerceptualSettings(
        *("vgg19", _VGG19_TAPS),
        content=(1 / 32, 1 / 16, 1 / 8, 1 / 4, 1),
        style=(0,) * 5,
        input_range="[-1, 1]",
    ),
}


MapWeights = Annotated[tuple[Annotated[float, Field(ge=0)], ...], BeforeValidator(as_tuple)]
"""A weight for each map of a network."""


class PerceptualOptions(Options):
    """A perceptual loss in a recipe.

    Attributes:
        published: The layers, weights and distances of a paper: ``omgd``, ``gan_slimming`` or ``spade``.
        weights: File of the published weights of the paper's VGG; from the cache or its authors by default.
        network: TorchScript file used instead of the VGG: takes images [b, 3, h, w], RGB in [0, 1], and returns feature
            maps.
        content: Weight of the difference of each of the network's maps.
        style: Weight of the difference of each of its Gram matrices.
    """

    published: Literal["omgd", "gan_slimming", "spade"] = "omgd"
    weights: str | None = None
    network: str | None = None
    content: MapWeights = ()
    style: MapWeights = ()

    @model_validator(mode="after")
    def _weights_of_a_network(self) -> Self:
        if self.network is None and (self.content or self.style):
            raise ValueError("got weights of maps without 'network', expected both or neither: the paper has its own")
        if self.network is not None and self.weights is not None:
            raise ValueError("got 'weights' beside 'network', expected one of them: the file has its weights inside")
        if self.network is not None and not (any(self.content) or any(self.style)):
            raise ValueError(
                "got 'network' without weights of its maps, expected 'content' or 'style', one number for each map"
            )
        return self

    def settings(self) -> PerceptualSettings:
        """Return the settings of the loss; the paper's distances apply to any network."""
        published = PERCEPTUAL[self.published]
        if self.network is None:
            return published
        zeros = (0.0,) * max(len(self.content), len(self.style))
        return replace(
            published,
            trunk=self.network,
            taps=None,
            content=self.content or zeros,
            style=self.style or zeros,
            input_range="[0, 1]",
        )

    def load(self) -> PerceptualLoss:
        """Load the loss with its network. Raises the errors of `load_perceptual_loss`."""
        return load_perceptual_loss(self.settings(), self.weights)


class PerceptualLoss(nn.Module):
    """Content and style differences over a frozen trunk. Its parameters are not part of the student.

    Source: Johnson et al., Perceptual Losses for Real-Time Style Transfer, ECCV 2016, eq. 2-4.
    """

    def __init__(self, trunk: nn.Module, settings: PerceptualSettings) -> None:
        """Set the trunk and the weights of its maps.

        Args:
            trunk: Module from images [b, 3, h, w] to a list of feature maps; frozen here.
            settings: Weights and distances; ``trunk``, ``taps`` and ``normalize`` must describe the given trunk.

        Raises:
            ConfigError: The two tuples of weights differ in length or are all 0, or a distance does not exist.
        """
        super().__init__()
        if len(settings.content) != len(settings.style) or not any((*settings.content, *settings.style)):
            raise ConfigError(
                f"perceptual loss: got content weights {settings.content} and style weights {settings.style}, expected "
                "one of each per tap, and one that is not 0; write 0 for what is left out"
            )
        if getattr(trunk, "differentiable", True) is False:
            raise ConfigError(
                f"perceptual loss: got {settings.trunk}, which passes no gradient, expected a differentiable trunk; "
                "give a TorchScript network instead of ONNX"
            )
        self.trunk = freeze(trunk)
        self.settings = settings
        self.content_distance = find_reconstruction(settings.content_distance)
        self.style_distance = find_reconstruction(settings.style_distance)

    def train(self, mode: bool = True) -> PerceptualLoss:
        """Set the mode; the trunk stays in evaluation mode."""
        super().train(mode)
        self.trunk.eval()
        return self

    def forward(self, images: Tensor, targets: Tensor) -> Tensor:
        """Return the weighted sum of `terms`, a scalar.

        Args:
            images: [b, 3, h, w], RGB in [-1, 1].
            targets: Images of the same shape and range; no gradient flows into them.

        Raises:
            ConfigError: The numbers of maps and weights differ.
        """
        return torch.stack(list(self.terms(images, targets).values())).sum()

    def terms(self, images: Tensor, targets: Tensor) -> Mapping[str, Tensor]:
        """Return the weighted ``content`` and ``style`` terms, except those of weight 0. Arguments as in `forward`."""
        with torch.no_grad():
            target_maps = self.features(targets)
        maps = self.features(images)
        terms: dict[str, list[Tensor]] = {"content": [], "style": []}
        for x, y, content, style in zip(maps, target_maps, self.settings.content, self.settings.style, strict=True):
            if content:
                terms["content"].append(content * self.content_distance(x, y))
            if style:
                terms["style"].append(style * self.style_distance(gram(x), gram(y)))
        return {name: torch.stack(parts).sum() for name, parts in terms.items() if parts}

    def features(self, images: Tensor) -> Sequence[Tensor]:
        """Return the feature maps of images [b, 3, h, w] in [-1, 1]. Raises ConfigError as `forward`."""
        maps = self.trunk((images + 1) / 2 if self.settings.input_range == "[0, 1]" else images)
        if len(maps) != len(self.settings.content):
            raise ConfigError(
                f"perceptual loss: got {len(maps)} feature maps from {self.settings.trunk} for "
                f"{len(self.settings.content)} weights, expected as many; give one weight per map, 0 to leave one out"
            )
        return maps


@full_precision
def gram(features: Tensor) -> Tensor:
    """Return the Gram matrices [b, c, c] of feature maps [b, c, h, w], divided by c * h * w.

    Source: Johnson et al., ECCV 2016, eq. 3.
    """
    flat = features.flatten(2)
    return flat @ flat.mT / (flat.shape[1] * flat.shape[2])


def load_perceptual_loss(settings: PerceptualSettings | str, weights: str | Path | None = None) -> PerceptualLoss:
    """Return a perceptual loss with the published weights of its trunk.

    Args:
        settings: Settings, or a name in `PERCEPTUAL`.
        weights: File of the trunk's weights; from the cache or its authors by default.

    Raises:
        ConfigError: There is no such loss, or `PerceptualLoss` rejects the settings.
        CheckpointError: The weights cannot be found or read, or do not fit.
    """
    if isinstance(settings, str):
        if settings not in PERCEPTUAL:
            raise ConfigError(
                f"perceptual loss: got '{settings}', expected a known one; {nearest(settings, PERCEPTUAL)}"
            )
        settings = PERCEPTUAL[settings]
    brings_its_own = settings.taps is None
    trunk = load_trunk(settings.trunk, settings.taps, normalize=brings_its_own or settings.normalize, weights=weights)
    return PerceptualLoss(trunk, settings)


@register_term
class Perceptual(TermOptions, PerceptualOptions):
    """Content and style distance of the student's image and the target over a trained network."""

    kind = "perceptual"

    def build(self, networks: Networks) -> Term:
        """Load the network and test it on an image, so that errors appear before training."""
        if networks.image.shape[1] != 3:
            raise ConfigError(f"perceptual: got images of {networks.image.shape[1]} channels, expected 3; leave it out")
        loss = self.load()
        with torch.no_grad():
            loss.features(networks.image)
        return Term(lambda c: loss(*c.of_content), frozen=loss)
