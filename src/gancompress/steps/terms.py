"""The terms of which a student's loss is made: what each compares, its weight and options, the networks it needs.

A term is one class of options, which is all that a recipe sees of it, and builds what computes it. To add one, write
the class and give `gancompress.steps.distillation.DistillationOptions` a field of it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any, ClassVar, Literal, Self

import torch
from pydantic import BeforeValidator, Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from gancompress.errors import ConfigError
from gancompress.losses import (
    ChannelDistillation,
    FeatureDistillation,
    FlowDistillation,
    PerceptualOptions,
    feature_matching,
    find_reconstruction,
    kernel_alignment_loss,
    latent_direction_loss,
    relation_loss,
    ssim_loss,
    total_variation,
)
from gancompress.models.trunks import LpipsDistance, load_lpips
from gancompress.models.trunks.network_file import NetworkFile
from gancompress.options import Options, as_tuple
from gancompress.tasks.task import Weight

Maps = Mapping[str, Tensor]
"""Feature maps [b, c, h, w] by the path of the module that returned them."""

Distance = Literal["l1", "l2", "smooth_l1"]
"""Pixel distances, by their names in `gancompress.losses.RECONSTRUCTIONS`."""


@dataclass(frozen=True)
class Comparison:
    """What the terms compare, of one batch and one network.

    Attributes:
        image: The network's image [b, c, h, w] in [-1, 1].
        target: The image that it should be, of the same shape.
        content: Zeros and ones [b, 1, h, w], where the two should be alike; None for everywhere.
        maps: The network's feature maps.
        teacher_maps: The teacher's, of the same modules.
        logits: What the discriminator makes of the image; None where there is none.
        real_logits: What it makes of the real one.
        moved_maps: The network's feature maps after the latents moved; None where no term asks for them.
        moved_teacher_maps: The teacher's.
    """

    image: Tensor
    target: Tensor
    maps: Maps
    teacher_maps: Maps
    logits: Any = None
    real_logits: Any = None
    content: Tensor | None = None
    moved_maps: Maps | None = None
    moved_teacher_maps: Maps | None = None

    @property
    def of_content(self) -> tuple[Tensor, Tensor]:
        """Image and target, 0 wherever there is no content."""
        if self.content is None:
            return self.image, self.target
        return self.image * self.content, self.target * self.content


@dataclass(frozen=True)
class Networks:
    """The networks that a term is built for.

    Attributes:
        taps: Paths of the modules whose maps are compared.
        student_channels: Widths of the student's maps by path, in a supernet those of the wide network.
        teacher_channels: Widths of the teacher's maps.
        elastic: Whether the student's maps may be narrower than that.
        image: Any image of the teacher, [1, c, h, w].
    """

    taps: tuple[str, ...]
    student_channels: Mapping[str, int]
    teacher_channels: Mapping[str, int]
    elastic: bool
    image: Tensor


@dataclass(frozen=True)
class Term:
    """A term at work.

    Attributes:
        loss: The unweighted loss, a scalar and a mean over the batch.
        learned: What trains with the student, and never enters its state dict.
        frozen: What is only evaluated.
    """

    loss: Callable[[Comparison], Tensor]
    learned: nn.Module | None = None
    frozen: nn.Module | None = None


class TermOptions(Options, ABC):
    """Options of a term.

    Attributes:
        weight: What its loss is multiplied with; at 0 it is neither built nor computed.
        compares: The student's feature maps with the teacher's, its image with the target, the images that it draws on
            the way with the teacher's, what the discriminator makes of its image with what it makes of the real one, or
            its image with nothing.
    """

    compares: ClassVar[Literal["maps", "images", "drafts", "logits", "nothing"]] = "images"

    weight: Weight = 0.0

    def taps_among(self, common: tuple[str, ...]) -> tuple[str, ...]:
        """The modules whose maps it compares, given those that all terms of its kind share."""
        return common if self.compares in ("maps", "drafts") else ()

    @abstractmethod
    def build(self, networks: Networks) -> Term:
        """What computes it.

        Raises:
            ConfigError: The options do not fit the networks.
            CheckpointError: A network that it needs cannot be had or read.
        """


class ReconstructionTerm(TermOptions):
    """The distance of the pixels, a mean over all of them; those outside of the content are equal."""

    distance: Distance = "l1"

    def build(self, networks: Networks) -> Term:
        """See `gancompress.losses.find_reconstruction`."""
        distance = find_reconstruction(self.distance)
        return Term(lambda c: distance(*c.of_content))


class DraftTerm(TermOptions):
    """The distance of the images that a network draws on the way, a mean over the pixels of each, summed over them.

    Attributes:
        distance: Of the pixels.
        taps: Paths of the modules that return such images; the family's own where empty.
    """

    compares = "drafts"

    distance: Distance = "l1"
    taps: Annotated[tuple[str, ...], BeforeValidator(as_tuple)] = ()

    def taps_among(self, common: tuple[str, ...]) -> tuple[str, ...]:
        """Its own, or the family's."""
        return self.taps or common

    def build(self, networks: Networks) -> Term:
        """See `gancompress.losses.find_reconstruction`."""
        distance = find_reconstruction(self.distance)
        return Term(lambda c: torch.stack([distance(x, c.teacher_maps[tap]) for tap, x in c.maps.items()]).sum())


class SsimTerm(TermOptions):
    """Structural dissimilarity, 1 - SSIM."""

    def build(self, networks: Networks) -> Term:
        """See `gancompress.losses.ssim_loss`."""
        return Term(lambda c: ssim_loss(c.image, c.target))


class PerceptualTerm(TermOptions, PerceptualOptions):
    """Content and style over a trained network."""

    def build(self, networks: Networks) -> Term:
        """See `gancompress.losses.PerceptualLoss`; tried on an image here, so as not to fail in training."""
        if networks.image.shape[1] != 3:
            raise ConfigError(f"perceptual: got images of {networks.image.shape[1]} channels, expected 3; leave it out")
        loss = self.load()
        with torch.no_grad():
            loss.features(networks.image)
        return Term(lambda c: loss(*c.of_content), frozen=loss)


class LpipsTerm(TermOptions):
    """LPIPS 0.1, or the same distance without learned weights of the channels over any network.

    Attributes:
        trunk: ``vgg``, ``alex`` or ``squeeze``.
        weights: File of the trunk's published weights; from the cache or its authors where left out.
        heads: File of the published weights of its channels; likewise.
        network: In the place of the trunk: a TorchScript file that takes images [b, 3, h, w], RGB in [0, 1], and
            returns feature maps.
        max_px: Images with a longer side are shrunk to it.
    """

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
        """See `gancompress.models.trunks.LpipsDistance`; tried on an image here, so as not to fail in training."""
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


class FeatureMatchingTerm(TermOptions):
    """The distance of the discriminator's feature maps, of the image and of the real one."""

    compares = "logits"

    def build(self, networks: Networks) -> Term:
        """See `gancompress.losses.feature_matching`."""
        return Term(lambda c: feature_matching(c.logits, c.real_logits))


class RelationTerm(TermOptions):
    """Distances and angles among the parts of an image.

    Attributes:
        items: The parts: rows, columns, patches. The angles of n parts take n**3 numbers.
        patch_px: Side of a patch; it divides those of the image.
    """

    items: Annotated[tuple[Literal["rows", "columns", "patches"], ...], BeforeValidator(as_tuple)] = (
        "rows",
        "columns",
        "patches",
    )
    patch_px: Annotated[int, Field(ge=1)] = 32

    def build(self, networks: Networks) -> Term:
        """See `gancompress.losses.relation_loss`."""
        return Term(lambda c: relation_loss(c.image, c.target, self.items, self.patch_px))


class TotalVariationTerm(TermOptions):
    """Total variation of the student's image, a mean over pixels."""

    compares = "nothing"

    def build(self, networks: Networks) -> Term:
        """See `gancompress.losses.total_variation`."""
        return Term(lambda c: total_variation(c.image))


class FeatureTerm(TermOptions):
    """The distance of feature maps through learned 1x1 convolutions on the student's side."""

    compares = "maps"

    def build(self, networks: Networks) -> Term:
        """See `gancompress.losses.FeatureDistillation`."""
        return _learned(FeatureDistillation(networks.student_channels, networks.teacher_channels))


class ChannelTerm(TermOptions):
    """The distance of the channels' global averages, through learned 1x1 convolutions on the student's side."""

    compares = "maps"

    def build(self, networks: Networks) -> Term:
        """See `gancompress.losses.ChannelDistillation`."""
        return _learned(ChannelDistillation(networks.student_channels, networks.teacher_channels))


class KernelAlignmentTerm(TermOptions):
    """How alike both networks tell the images of a batch apart. Batches of at least two images; nothing is learned."""

    compares = "maps"

    def build(self, networks: Networks) -> Term:
        """See `gancompress.losses.kernel_alignment_loss`."""
        return Term(lambda c: kernel_alignment_loss(c.maps, c.teacher_maps))


class LatentDirectionTerm(TermOptions):
    """How images change among one another when their latents move: a second pass of both networks for each batch.

    Attributes:
        length: Of the move, in a random direction for each image: of the style of a StyleGAN2, else of the noise.
    """

    compares = "maps"

    length: Annotated[float, Field(gt=0)] = 5.0

    def build(self, networks: Networks) -> Term:
        """See `gancompress.losses.latent_direction_loss`."""

        def loss(c: Comparison) -> Tensor:
            assert c.moved_maps is not None
            assert c.moved_teacher_maps is not None
            return latent_direction_loss(c.maps, c.moved_maps, c.teacher_maps, c.moved_teacher_maps)

        return Term(loss)


def _as_pairs(value: Any) -> Any:
    return tuple(map(as_tuple, value)) if isinstance(value, list) else value


class FlowTerm(TermOptions):
    """The distance of the flow matrices of pairs of layers, through learned 1x1 convolutions where widths differ.

    Attributes:
        pairs: An early and a late module each; every two successive ones of the taps where empty.
    """

    compares = "maps"

    pairs: Annotated[tuple[tuple[str, str], ...], BeforeValidator(_as_pairs)] = ()

    def taps_among(self, common: tuple[str, ...]) -> tuple[str, ...]:
        """The modules of the pairs."""
        return tuple(dict.fromkeys(tap for pair in self._pairs(common) for tap in pair))

    def build(self, networks: Networks) -> Term:
        """See `gancompress.losses.FlowDistillation`."""
        pairs = self._pairs(networks.taps)
        return _learned(FlowDistillation(networks.student_channels, networks.teacher_channels, pairs, networks.elastic))

    def _pairs(self, taps: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
        return self.pairs or tuple(pairwise(taps))


def _learned(loss: nn.Module) -> Term:
    """The term of a loss that owns what adapts the student's maps."""
    return Term(lambda c: loss(c.maps, c.teacher_maps), learned=loss)
