"""Channel distillation: global averages of the channels of feature maps."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from gancompress.losses.features import elastic_conv1x1
from gancompress.losses.reconstruction import l2
from gancompress.losses.taps import check_taps
from gancompress.losses.term import Maps, Networks, TappedOptions, Term, on_maps, register_term


class ChannelDistillation(nn.Module):
    """Mean squared error between global averages of channels, the student's after 1x1 convolution, batch norm, ReLU.

    Owns the convolutions and norms, which support elastic widths like `FeatureDistillation`.

    Source: Ren et al., OMGD, ICCV 2021, eq. 8-9, as released.
    """

    def __init__(self, student_channels: Mapping[str, int], teacher_channels: Mapping[str, int]) -> None:
        """Build the adaptors. Arguments and errors as in `FeatureDistillation`."""
        super().__init__()
        check_taps("channel distillation", teacher_channels, student=student_channels)
        self.taps = tuple(teacher_channels)
        self.convs = nn.ModuleList(nn.Conv2d(student_channels[tap], teacher_channels[tap], 1) for tap in self.taps)
        self.norms = nn.ModuleList(nn.BatchNorm2d(teacher_channels[tap]) for tap in self.taps)

    def forward(self, student: Maps, teacher: Maps) -> Tensor:
        """Return the sum over layers of the mean squared error, a scalar.

        Args:
            student: Maps [b, c, h, w] by layer, ``c`` at most the width given at construction.
            teacher: Maps of the same layers, of any size; no gradient flows into them.

        Raises:
            ConfigError: Layers or widths do not fit.
        """
        check_taps("channel distillation", self.taps, student=student, teacher=teacher)
        losses = []
        for tap, conv, norm in zip(self.taps, self.convs, self.norms, strict=True):
            adapted = norm(elastic_conv1x1(conv, student[tap], tap)).relu()
            spatial = tuple(range(2, adapted.ndim))
            losses.append(l2(adapted.mean(spatial), teacher[tap].detach().mean(spatial)))
        return torch.stack(losses).sum()


@register_term
class Channels(TappedOptions):
    """Squared difference of the channels' global averages, through learned 1x1 convolutions on the student's side."""

    kind = "channels"

    def build(self, networks: Networks) -> Term:
        """Build the layers of `ChannelDistillation`."""
        return on_maps(ChannelDistillation(networks.student_channels, networks.teacher_channels))
