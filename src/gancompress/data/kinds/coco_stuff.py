"""COCO-Stuff, in the folder layout of semantic image synthesis.

Source: Caesar et al., COCO-Stuff, CVPR 2018; class names as published with it.
"""

from __future__ import annotations

from functools import partial

from pydantic import Field

from gancompress.data.config import register_data
from gancompress.data.kinds.labels import LabelledConfig
from gancompress.data.label_maps import Classes
from gancompress.data.records import Split, trained_and_held_out

_THINGS_AND_STUFF = """
person, bicycle, car, motorcycle, airplane, bus, train, truck, boat, traffic light, fire hydrant, street sign,
stop sign, parking meter, bench, bird, cat, dog, horse, sheep, cow, elephant, bear, zebra, giraffe, hat, backpack,
umbrella, shoe, eye glasses, handbag, tie, suitcase, frisbee, skis, snowboard, sports ball, kite, baseball bat,
baseball glove, skateboard, surfboard, tennis racket, bottle, plate, wine glass, cup, fork, knife, spoon, bowl, banana,
apple, sandwich, orange, broccoli, carrot, hot dog, pizza, donut, cake, chair, couch, potted plant, bed, mirror,
dining table, window, desk, toilet, door, tv, laptop, mouse, remote, keyboard, cell phone, microwave, oven, toaster,
sink, refrigerator, blender, book, clock, vase, scissors, teddy bear, hair drier, toothbrush, hair brush, banner,
blanket, branch, bridge, building-other, bush, cabinet, cage, cardboard, carpet, ceiling-other, ceiling-tile, cloth,
clothes, clouds, counter, cupboard, curtain, desk-stuff, dirt, door-stuff, fence, floor-marble, floor-other,
floor-stone, floor-tile, floor-wood, flower, fog, food-other, fruit, furniture-other, grass, gravel, ground-other, hill,
house, leaves, light, mat, metal, mirror-stuff, moss, mountain, mud, napkin, net, paper, pavement, pillow, plant-other,
plastic, platform, playingfield, railing, railroad, river, road, rock, roof, rug, salad, sand, sea, shelf, sky-other,
skyscraper, snow, solid-other, stairs, stone, straw, structural-other, table, tent, textile-other, towel, tree,
vegetable, wall-brick, wall-concrete, wall-other, wall-panel, wall-stone, wall-tile, wall-wood, water-other, waterdrops,
window-blind, window-other, wood
"""
NAMES = tuple(name.strip() for name in _THINGS_AND_STUFF.split(","))
"""Names of labels 0 to 181: things, some of which occur in no image, and then stuff."""


def _classes() -> Classes:
    return Classes(num_classes=len(NAMES), ignore=(255,), names=NAMES)


@register_data
class CocoStuffConfig(LabelledConfig):
    """Items with "label" (182 classes), "image" and "instance" from ``train_img``, ``train_label``, ``train_inst``.

    Attributes:
        splits: By default about 500 images of ``train`` are held out for the search, and ``val`` is the test.
    """

    kind = "coco_stuff"

    images: str = "{folder}_img"
    labels: str = "{folder}_label"
    instances: str | None = "{folder}_inst"
    classes: Classes = Field(default_factory=_classes)
    splits: dict[str, Split] = Field(default_factory=partial(trained_and_held_out, 0.996), min_length=1)
