"""Input sizes of graph networks, found by running their structure at other sizes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from gancompress.networks.generator import Generator
from gancompress.networks.input_rule import InputRule, Shape
from gancompress.networks.outputs import image_of

_SIDES = (64, 96)


def free_sizes(generator: Generator, shapes: Sequence[Shape]) -> InputRule:
    """Return the rule of the inputs of a file, with sizes free that only its export fixed.

    A network of one image is run at two other sizes on the meta device. If its output scales with its input there, it
    takes images of any size, whatever size the file was exported for.

    Args:
        generator: The network.
        shapes: Shape of every input in the file; None for a free axis.
    """
    declared = tuple((None, *shape[1:]) for shape in shapes)
    if len(shapes) != 1 or len(shapes[0]) != 4 or shapes[0][1] is None:
        return InputRule(shapes=declared)
    network = generator.architecture._make().to("meta").eval()
    channels, scales = shapes[0][1], set()
    for height, width in (_SIDES, _SIDES[::-1]):
        try:
            with torch.device("meta"):
                image = image_of(network(torch.empty(2, channels, height, width)))
        except Exception:  # an operator whose sizes are fixed fails in any way
            return InputRule(channels, shapes=declared)
        if not isinstance(image, Tensor) or image.ndim != 4:
            return InputRule(channels, shapes=declared)
        scales |= {image.shape[2] / height, image.shape[3] / width}
    if len(scales) > 1:
        return InputRule(channels, shapes=declared)
    (scale,) = scales
    return InputRule(channels, scale=int(scale) if scale == int(scale) else scale)
