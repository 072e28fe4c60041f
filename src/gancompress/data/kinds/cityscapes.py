"""Cityscapes, in the layout of its archives.

Source: Cordts et al., The Cityscapes Dataset, CVPR 2016; classes and colours as published with it.
"""

from __future__ import annotations

from functools import partial

from pydantic import Field

from gancompress.data.config import register_data
from gancompress.data.kinds.labels import LabelledConfig
from gancompress.data.label_maps import Classes
from gancompress.data.palette import Rgb
from gancompress.data.records import Split, trained_and_held_out

CLASSES: tuple[tuple[str, Rgb], ...] = (
    ("unlabeled", (0, 0, 0)),
    ("ego vehicle", (0, 0, 0)),
    ("rectification border", (0, 0, 0)),
    ("out of roi", (0, 0, 0)),
    ("static", (0, 0, 0)),
    ("dynamic", (111, 74, 0)),
    ("ground", (81, 0, 81)),
    ("road", (128, 64, 128)),
    ("sidewalk", (244, 35, 232)),
    ("parking", (250, 170, 160)),
    ("rail track", (230, 150, 140)),
    ("building", (70, 70, 70)),
    ("wall", (102, 102, 156)),
    ("fence", (190, 153, 153)),
    ("guard rail", (180, 165, 180)),
    ("bridge", (150, 100, 100)),
    ("tunnel", (150, 120, 90)),
    ("pole", (153, 153, 153)),
    ("polegroup", (153, 153, 153)),
    ("traffic light", (250, 170, 30)),
    ("traffic sign", (220, 220, 0)),
    ("vegetation", (107, 142, 35)),
    ("terrain", (152, 251, 152)),
    ("sky", (70, 130, 180)),
    ("person", (220, 20, 60)),
    ("rider", (255, 0, 0)),
    ("car", (0, 0, 142)),
    ("truck", (0, 0, 70)),
    ("bus", (0, 60, 100)),
    ("caravan", (0, 0, 90)),
    ("trailer", (0, 0, 110)),
    ("train", (0, 80, 100)),
    ("motorcycle", (0, 0, 230)),
    ("bicycle", (119, 11, 32)),
    ("license plate", (0, 0, 142)),
)
"""Name and colour of label ids 0 to 34."""


def _classes() -> Classes:
    names, colours = zip(*CLASSES, strict=True)
    return Classes(num_classes=len(CLASSES), ignore=(255,), names=names, colours=colours)


@register_data
class CityscapesConfig(LabelledConfig):
    """Items with "label" (the 35 label ids), "image" and "instance" from ``leftImg8bit`` and ``gtFine``.

    Attributes:
        splits: By default about 200 images of ``train`` are held out for the search, and ``val`` is the test.
    """

    kind = "cityscapes"

    images: str = "leftImg8bit/{folder}"
    labels: str = "gtFine/{folder}"
    instances: str | None = "gtFine/{folder}"
    image_ending: str = "_leftImg8bit"
    label_ending: str = "_gtFine_labelIds"
    instance_ending: str = "_gtFine_instanceIds"
    classes: Classes = Field(default_factory=_classes)
    splits: dict[str, Split] = Field(default_factory=partial(trained_and_held_out, 0.933), min_length=1)
