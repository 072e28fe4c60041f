"""Names of a network's outputs, and the image among them."""

from __future__ import annotations

from collections import OrderedDict, namedtuple

import pytest
import torch
from torch.utils._pytree import register_pytree_node

from gancompress.networks.outputs import image_of, named_outputs, tensors_of

IMAGE, MASK, SCORE = torch.zeros(1, 3, 4, 4), torch.ones(1, 1, 4, 4), torch.ones(1, 10)
Pair = namedtuple("Pair", "sharp soft")


class Decoded(OrderedDict):
    """A dictionary that PyTorch flattens without knowing its keys, as diffusers registers its outputs."""


register_pytree_node(
    Decoded,
    lambda each: (list(each.values()), list(each)),
    lambda values, keys: Decoded(zip(keys, values, strict=True)),
)


@pytest.mark.parametrize(
    ("result", "names"),
    [
        ((Decoded(sample=IMAGE), MASK), ["output_0_sample", "output_1"]),
        (Decoded(sample=IMAGE, other=[MASK]), ["sample", "other_0"]),
        (IMAGE, ["output"]),
        ((IMAGE, MASK), ["output_0", "output_1"]),
        ((IMAGE, [MASK, SCORE]), ["output_0", "output_1_0", "output_1_1"]),
        ({"image": IMAGE, "drafts": [MASK, SCORE]}, ["image", "drafts_0", "drafts_1"]),
        ({"input": IMAGE, 1: MASK}, ["output_input", "output_1"]),
        (Pair(IMAGE, MASK), ["sharp", "soft"]),
        ((IMAGE, None, 3), ["output_0"]),
    ],
)
def test_names(result, names):
    named = named_outputs(result, taken=["input"])
    assert list(named) == names
    assert all(a is b for a, b in zip(named.values(), tensors_of(result), strict=True))
    assert image_of(result) is IMAGE


def test_the_image_is_the_first_map_of_floats():
    assert image_of([SCORE, MASK.long(), MASK, IMAGE]) is MASK
    assert image_of([SCORE]) is SCORE
