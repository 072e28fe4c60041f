"""Running a generator to score its channels."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from gancompress.channels import ChannelGraph
from gancompress.errors import ConfigError
from gancompress.importance.scores import Scores, sum_by_channel

Inputs = Callable[[int, int], Iterable[Mapping[str, Any]]]
"""Function of a number of images and a batch size that yields batches with ``input`` and, if known, ``name``."""


@dataclass(frozen=True)
class Probe:
    """A generator with its inputs, for scores that run it.

    Attributes:
        network: The generator, in evaluation mode.
        inputs: Function that returns batches of inputs.
        seed: Seed of everything that is drawn at random.
    """

    network: nn.Module
    inputs: Inputs
    seed: int = 0


def readers(graph: ChannelGraph, group: str, image_layers: bool) -> list[tuple[str, int, Any]]:
    """Return the weights that read a group, as (tensor, axis number, axis).

    Args:
        graph: The graph.
        group: The group.
        image_layers: Whether layers that write the image and no channel group count beside the others. They always
            count if nothing else reads the group.

    Raises:
        ConfigError: Nothing reads the group.
    """
    members = list(graph.members(group, ("in", "depthwise")))
    inner = [member for member in members if member[2].role == "depthwise" or _writes_a_group(graph, member[0])]
    chosen = members if image_layers or not inner else inner
    if not chosen:
        raise ConfigError(f"score: no weights read channel group '{group}', expected some; choose another score")
    return chosen


def _writes_a_group(graph: ChannelGraph, tensor: str) -> bool:
    return any(axis.role == "out" and axis.groups for axis in graph.axes(tensor))


class OutgoingGradients:
    """Mean absolute gradients of the filters that read every channel, summed over batches.

    Source: Liu et al., Content-Aware GAN Compression, CVPR 2021, section 3.2.
    """

    def __init__(self, network: nn.Module, graph: ChannelGraph, image_layers: bool) -> None:
        self._members = {name: readers(graph, name, image_layers) for name in graph.groups}
        tensors = {tensor for members in self._members.values() for tensor, _, _ in members}
        self._weights = {name: each for name, each in network.named_parameters() if name in tensors}
        for each in self._weights.values():
            each.requires_grad_(True)
        self.scores: Scores = {name: torch.zeros(group.size) for name, group in graph.groups.items()}

    def add(self, loss: Tensor) -> None:
        """Add the gradients of one batch's loss."""
        values = torch.autograd.grad(loss, list(self._weights.values()), allow_unused=True)
        gradients = dict(zip(self._weights, values, strict=True))
        for group, members in self._members.items():
            for tensor, number, axis in members:
                gradient = gradients[tensor]
                if gradient is not None:
                    per_position = gradient.abs().float().cpu().movedim(number, 0).flatten(1).mean(1)
                    self.scores[group] += sum_by_channel(per_position, axis, group)


def inputs_of(probe: Probe, num_images: int, batch_size: int) -> Iterable[tuple[Tensor, Sequence[str]]]:
    """Yield inputs and names of images, batch by batch."""
    device = next(probe.network.parameters()).device
    for batch in probe.inputs(num_images, batch_size):
        yield batch["input"].to(device), list(batch.get("name", ()))
