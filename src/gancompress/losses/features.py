"""Intermediate feature distillation: match the teacher's maps with the student's, through learned 1x1 convolutions."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gancompress.errors import ConfigError
from gancompress.losses.reconstruction import l2
from gancompress.losses.taps import check_taps
from gancompress.losses.term import Maps, Networks, TappedOptions, Term, on_maps, register_term


class FeatureDistillation(nn.Module):
    """One 1x1 convolution per layer on the student's side, and the mean squared error to the teacher's maps.

    It owns the convolutions, which train with the student and never enter its state dict. In a supernet a student's
    map may be narrower than at full width: its channels then use the leading columns of the weight.

    The convolution is on the student's side: on the teacher's, mapping everything to zero would be a solution.

    Source: Li et al., GAN Compression, CVPR 2020, eq. 3, as released.
    """

    def __init__(self, student_channels: Mapping[str, int], teacher_channels: Mapping[str, int]) -> None:
        """Build the convolutions.

        Args:
            student_channels: Width of the student's map of each layer; in a supernet its full width.
            teacher_channels: Width of the teacher's map of each of the same layers.

        Raises:
            ConfigError: The two do not name the same layers, or none.
        """
        super().__init__()
        check_taps("feature distillation", teacher_channels, student=student_channels)
        self.taps = tuple(teacher_channels)
        self.adaptors = nn.ModuleList(nn.Conv2d(student_channels[tap], teacher_channels[tap], 1) for tap in self.taps)

    def forward(self, student: Maps, teacher: Maps) -> Tensor:
        """Return the sum over layers of the mean squared error, a scalar.

        Args:
            student: Maps [b, c, h, w] by layer, ``c`` at most the width given at construction.
            teacher: Maps of the same layers; no gradient flows into them.

        Raises:
            ConfigError: Layers, widths or sizes do not fit.
        """
        check_taps("feature distillation", self.taps, student=student, teacher=teacher)
        losses = [
            l2(elastic_conv1x1(adaptor, student[tap], tap), teacher[tap].detach())
            for tap, adaptor in zip(self.taps, self.adaptors, strict=True)
        ]
        return torch.stack(losses).sum()


def elastic_conv1x1(conv: nn.Module, features: Tensor, tap: str) -> Tensor:
    """Apply a 1x1 convolution to a map [b, c, ...] with the leading ``c`` columns of its weight.

    Raises:
        ConfigError: The map has more channels than the weight has columns.
    """
    assert isinstance(conv, nn.Conv2d)
    if features.shape[1] > conv.in_channels:
        raise ConfigError(
            f"distillation of {tap}: got a student's map with {features.shape[1]} channels, expected at most "
            f"{conv.in_channels}; build the loss with the student's full width"
        )
    weight = conv.weight[:, : features.shape[1]]
    if features.ndim == 4:
        return F.conv2d(features, weight, conv.bias)
    flat = F.conv2d(features.flatten(2).unsqueeze(3), weight, conv.bias)
    return flat.reshape(len(features), -1, *features.shape[2:])


@register_term
class Features(TappedOptions):
    """Mean squared difference of feature maps through learned 1x1 convolutions on the student's side."""

    kind = "features"

    def build(self, networks: Networks) -> Term:
        """Build the convolutions of `FeatureDistillation`."""
        return on_maps(FeatureDistillation(networks.student_channels, networks.teacher_channels))
