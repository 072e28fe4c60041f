"""Parts of images for calibration and comparison, so that memory does not grow with the size of photographs."""

from __future__ import annotations

from collections.abc import Sequence

from gancompress.deploy.axes import Inputs
from gancompress.deploy.tiles.choice import affordable_side
from gancompress.networks.locality import Locality

_PLACES = ((0.5, 0.5), (0.0, 0.0), (0.0, 1.0), (1.0, 0.0), (1.0, 1.0))
"""Places of the parts of one batch after the other: the middle and the corners, down and across."""


def part_side(locality: Locality) -> int:
    """Return the largest side of images that a local network runs whole in a bounded memory.

    A comparison runs images of twice the area too, in PyTorch and in the runtime side by side: parts have a quarter of
    the area that is affordable for one run.
    """
    step = locality.multiple_px
    return max(affordable_side(locality) // 2 // step, 1) * step


def parts_of(images: Sequence[Inputs], locality: Locality) -> list[Inputs]:
    """Cut a part out of every image that is larger than `part_side`; others stay unchanged.

    A local network computes the same of a part as of the whole image, except at its edges.

    Args:
        images: Batches of images [b, c, h, w], each the only input.
        locality: Locality of the network.
    """
    side, cut = part_side(locality), []
    for number, (images_,) in enumerate(images):
        place = _PLACES[number % len(_PLACES)]
        for axis, share in zip((2, 3), place, strict=True):
            room = images_.shape[axis] - side
            if room > 0:
                start = int(share * room) // locality.multiple_px * locality.multiple_px
                images_ = images_.narrow(axis, start, side)
        cut.append((images_.contiguous(),))
    return cut
