"""Relational distillation: match distances and angles among the parts of an image with those of the teacher's image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import torch
from pydantic import BeforeValidator, Field
from torch import Tensor
from torch.nn import functional as F

from gancompress.errors import ConfigError
from gancompress.losses.shapes import check_same_shape
from gancompress.losses.term import Networks, Term, TermOptions, register_term
from gancompress.options import as_tuple
from gancompress.perception.precision import full_precision

DISTANCE_WEIGHT = 1.0
ANGLE_WEIGHT = 2.0

ItemKind = Literal["rows", "columns", "patches"]


def image_items(images: Tensor, kind: ItemKind, patch_px: int = 32) -> Tensor:
    """Return the parts of images [b, c, h, w] as vectors [b, n, d].

    Args:
        images: The images.
        kind: Rows (n = h), columns (n = w) or square patches that do not overlap.
        patch_px: Side of a patch, in pixels.

    Raises:
        ConfigError: Patches do not tile the image, or there is no such kind.

    Source: You et al., Exploring Content Relationships for Distilling Efficient GANs (CRD), 2022.
    """
    if kind == "rows":
        return images.permute(0, 2, 1, 3).flatten(2)
    if kind == "columns":
        return images.permute(0, 3, 1, 2).flatten(2)
    if kind != "patches":
        raise ConfigError(f"relation: got items '{kind}', expected rows, columns or patches; choose one")
    if images.shape[2] % patch_px or images.shape[3] % patch_px:
        raise ConfigError(
            f"relation: got images of {images.shape[2]}x{images.shape[3]} for patches of {patch_px} px, expected sides "
            "divisible by that; choose another patch size"
        )
    return F.unfold(images, patch_px, stride=patch_px).mT


@full_precision
def distance_relation(student: Tensor, teacher: Tensor) -> Tensor:
    """Return the smooth L1 loss between distances among items, in units of their mean within an image.

    Args:
        student: Items [b, n, d].
        teacher: Items [b, n, d']; no gradient flows into them.

    Raises:
        ConfigError: The numbers of images or items differ.

    Source: Park et al., Relational Knowledge Distillation, CVPR 2019, eq. 5-7.
    """
    distances, targets = _relative_distances(student), _relative_distances(teacher.detach())
    check_same_shape("distance relation", distances, targets)
    return F.smooth_l1_loss(distances, targets)


@full_precision
def angle_relation(student: Tensor, teacher: Tensor) -> Tensor:
    """Return the smooth L1 loss between the cosines of the angles at each item between each two others.

    Args:
        student: Items [b, n, d].
        teacher: Items [b, n, d']; no gradient flows into them.

    Raises:
        ConfigError: The numbers of images or items differ.

    Source: Park et al., Relational Knowledge Distillation, CVPR 2019, eq. 8-9.
    """
    check_same_shape("angle relation", student[..., 0], teacher[..., 0])
    # One image at a time: the cosines of n items are n**3 numbers.
    losses = [F.smooth_l1_loss(_cosines(x), _cosines(y.detach())) for x, y in zip(student, teacher, strict=True)]
    return torch.stack(losses).mean()


def relation_loss(
    student: Tensor,
    teacher: Tensor,
    items: Sequence[ItemKind] = ("rows", "columns", "patches"),
    patch_px: int = 32,
) -> Tensor:
    """Return the distance relation plus twice the angle relation, summed over the kinds of items.

    Args:
        student: Images [b, c, h, w].
        teacher: Images of the same size; no gradient flows into them.
        items: The parts to relate.
        patch_px: Side of a patch, in pixels.

    Raises:
        ConfigError: Sizes differ, or patches do not tile the image.

    Source: Park et al., RKD, CVPR 2019, section 4 (weights); the items are CRD's.
    """
    check_same_shape("relation", student, teacher)
    losses = []
    for kind in items:
        x, y = image_items(student, kind, patch_px), image_items(teacher, kind, patch_px)
        losses.append(DISTANCE_WEIGHT * distance_relation(x, y) + ANGLE_WEIGHT * angle_relation(x, y))
    return torch.stack(losses).sum()


def _relative_distances(items: Tensor) -> Tensor:
    # Differences, not dot products: close items keep their precision, and equal ones have a gradient of 0.
    distances = torch.cdist(items, items, compute_mode="donot_use_mm_for_euclid_dist")
    num_positive = (distances > 0).sum((1, 2), keepdim=True).clamp_min(1)
    mean = distances.sum((1, 2), keepdim=True) / num_positive
    return distances / mean.clamp_min(torch.finfo(items.dtype).eps)


def _cosines(items: Tensor) -> Tensor:
    """Return the cosine at item j between items i and k, [j, i, k], of items [n, d]."""
    directions = F.normalize(items.unsqueeze(0) - items.unsqueeze(1), dim=2)
    return directions @ directions.mT


@register_term
class Relation(TermOptions):
    """Distances and angles among the parts of an image.

    Attributes:
        items: The parts: rows, columns, patches. The angles of n parts take n**3 numbers.
        patch_px: Side of a patch in pixels; must divide the sides of the image.
    """

    kind = "relation"

    items: Annotated[tuple[ItemKind, ...], BeforeValidator(as_tuple)] = ("rows", "columns", "patches")
    patch_px: Annotated[int, Field(ge=1)] = 32

    def build(self, networks: Networks) -> Term:
        """Return the term of `relation_loss`."""
        return Term(lambda c: relation_loss(c.image, c.target, self.items, self.patch_px))
