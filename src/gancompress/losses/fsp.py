"""Flow of the solution procedure: correlations between the channels of early and late feature maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Annotated, Any

import torch
from pydantic import BeforeValidator
from torch import Tensor, nn
from torch.nn import functional as F

from gancompress.errors import ConfigError
from gancompress.losses.features import elastic_conv1x1
from gancompress.losses.shapes import check_same_shape
from gancompress.losses.taps import check_taps
from gancompress.losses.term import Maps, Networks, TappedOptions, Term, on_maps, register_term
from gancompress.options import as_tuple
from gancompress.perception.precision import full_precision


@full_precision
def fsp_matrix(early: Tensor, late: Tensor) -> Tensor:
    """Return the correlations of two layers' channels over positions, [b, c1, c2].

    Args:
        early: [b, c1, h1, w1].
        late: [b, c2, h2, w2]. The larger of the two is max-pooled to the size of the smaller.

    Source: Yim et al., A Gift from Knowledge Distillation, CVPR 2017, eq. 1.
    """
    size = (min(early.shape[2], late.shape[2]), min(early.shape[3], late.shape[3]))
    early, late = (x if x.shape[2:] == size else F.adaptive_max_pool2d(x, size) for x in (early, late))
    return early.flatten(2) @ late.flatten(2).mT / (size[0] * size[1])


def fsp_loss(student: Sequence[tuple[Tensor, Tensor]], teacher: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
    """Return the squared Frobenius distance of flow matrices, averaged over images, summed over the pairs of layers.

    Args:
        student: Pairs of an early and a late map, with the teacher's numbers of channels (adapted, if need be).
        teacher: The same pairs of the teacher; no gradient flows into them.

    Raises:
        ConfigError: There are no pairs, their numbers differ, or their channels differ.

    Source: Yim et al., CVPR 2017, eq. 2.
    """
    if not student or len(student) != len(teacher):
        raise ConfigError(
            f"fsp: got {len(student)} pairs of layers of the student and {len(teacher)} of the teacher, expected as "
            "many of both and at least one; tap the same layers"
        )
    losses = []
    for student_pair, teacher_pair in zip(student, teacher, strict=True):
        flow, target = fsp_matrix(*student_pair), fsp_matrix(*teacher_pair).detach()
        check_same_shape("fsp", flow, target)
        losses.append((flow - target).square().sum((1, 2)).mean())
    return torch.stack(losses).sum()


class FlowDistillation(nn.Module):
    """Distance of `fsp_loss`, with 1x1 convolutions on the student's maps if widths differ.

    It owns the convolutions, which support elastic widths like `FeatureDistillation`.

    Source: Yim et al., CVPR 2017; the convolutions replace its condition that both networks have equal widths.
    """

    def __init__(
        self,
        student_channels: Mapping[str, int],
        teacher_channels: Mapping[str, int],
        pairs: Sequence[tuple[str, str]],
        elastic: bool = False,
    ) -> None:
        """Build the convolutions.

        Args:
            student_channels: Width of the student's map of each layer; in a supernet its full width.
            teacher_channels: Width of the teacher's map of each of the same layers.
            pairs: An early and a late layer each.
            elastic: Whether the student's maps may be narrower than that; equal widths then need a convolution too.

        Raises:
            ConfigError: The two do not name the same layers, or a pair names another one.
        """
        super().__init__()
        check_taps("fsp", teacher_channels, student=student_channels)
        check_taps("fsp", teacher_channels, pairs=dict.fromkeys(tap for pair in pairs for tap in pair))
        self.taps, self.pairs = tuple(teacher_channels), tuple(pairs)
        self.adaptors = nn.ModuleList(
            nn.Conv2d(student_channels[tap], teacher_channels[tap], 1)
            if elastic or student_channels[tap] != teacher_channels[tap]
            else nn.Identity()
            for tap in self.taps
        )

    def forward(self, student: Maps, teacher: Maps) -> Tensor:
        """Return the loss, a scalar.

        Args:
            student: Maps [b, c, h, w] by layer, ``c`` at most the width given at construction.
            teacher: Maps of the same layers; no gradient flows into them.

        Raises:
            ConfigError: Layers or widths do not fit.
        """
        check_taps("fsp", self.taps, student=student, teacher=teacher)
        adapted = {
            tap: student[tap] if isinstance(adaptor, nn.Identity) else elastic_conv1x1(adaptor, student[tap], tap)
            for tap, adaptor in zip(self.taps, self.adaptors, strict=True)
        }
        return fsp_loss(*([(maps[early], maps[late]) for early, late in self.pairs] for maps in (adapted, teacher)))


def _as_pairs(value: Any) -> Any:
    return tuple(map(as_tuple, as_tuple(value))) if isinstance(value, list | tuple) else value


@register_term
class Fsp(TappedOptions):
    """Distance of the flow matrices of pairs of layers, through learned 1x1 convolutions if widths differ.

    Attributes:
        pairs: An early and a late module each; every two successive taps by default.
    """

    kind = "fsp"

    pairs: Annotated[tuple[tuple[str, str], ...], BeforeValidator(_as_pairs)] = ()

    def taps_among(self, common: tuple[str, ...]) -> tuple[str, ...]:
        """Return the modules of the pairs."""
        return tuple(dict.fromkeys(tap for pair in self._pairs(self.taps or common) for tap in pair))

    def build(self, networks: Networks) -> Term:
        """Build the convolutions of `FlowDistillation`."""
        pairs = self._pairs(networks.taps)
        return on_maps(FlowDistillation(networks.student_channels, networks.teacher_channels, pairs, networks.elastic))

    def _pairs(self, taps: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
        return self.pairs or tuple(pairwise(taps))
