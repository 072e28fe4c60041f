"""Input contract of an exported generator: the inputs of its file, and the module that accepts them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from gancompress.errors import ConfigError
from gancompress.networks.label_input import LabelInput

MAP_AXES = {0: "batch", 1: "height", 2: "width"}
"""Free axes of an integer label map [b, h, w]."""


@dataclass(frozen=True)
class FileForm:
    """A generator with the inputs of its exported file.

    Attributes:
        module: Maps those inputs to images.
        inputs: Example inputs.
        names: Input names; the format's own by default.
        axes: Free axes of each input and their names; the format's own by default.
        facts: Metadata that the generator's family does not provide.
    """

    module: nn.Module
    inputs: tuple[Tensor, ...]
    names: tuple[str, ...] | None = None
    axes: tuple[Mapping[int, str], ...] | None = None
    facts: Mapping[str, str] = field(default_factory=dict)


def label_map_form(generator: nn.Module, num_labels: int, channels: Tensor) -> FileForm:
    """Wrap a generator so that its file takes integer label maps [b, h, w], and an edge map if it has a channel for it.

    Args:
        generator: Network with a channel of 0 and 1 for each label, and optionally one more for the borders of objects.
        num_labels: Number of labels.
        channels: An example input of the generator, [b, c, h, w].

    Raises:
        ConfigError: The generator takes another number of channels.
    """
    if channels.shape[1] - num_labels not in (0, 1):
        raise ConfigError(
            f"labels: got {num_labels} for a network of {channels.shape[1]} channels, expected that number, or one "
            "less where the last channel takes the borders of objects"
        )
    labels = channels[:, :num_labels].argmax(1).to(torch.int32)
    inputs = (labels, *(channels[:, num_labels:] > 0.5).unbind(1))
    module, names = LabelInput(generator, num_labels), ("labels", "edges")[: len(inputs)]
    return FileForm(module, inputs, names, (MAP_AXES,) * len(inputs), {"labels": str(num_labels), "layout": "NHW"})
