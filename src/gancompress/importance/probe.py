"""Running a generator to find out what its channels do."""

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
"""From a number of images and a batch size to batches with ``input`` and, where there are any, the images' ``name``."""


@dataclass(frozen=True)
class Probe:
    """A generator at work.

    Attributes:
        network: The generator, in evaluation mode.
        inputs: What to run it on.
        seed: Of whatever is drawn at random.
    """

    network: nn.Module
    inputs: Inputs
    seed: int = 0


def readers(graph: ChannelGraph, group: str, image_layers: bool) -> list[tuple[str, int, Any]]:
    """The weights that read a group, as (tensor, axis number, axis).

    Args:
        graph: The graph.
        group: The group.
        image_layers: Whether layers that write no channel group, but the image, count beside others. Where nothing else
            reads the group they do in any case.

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
        """Take in the gradients of one batch's loss."""
        values = torch.autograd.grad(loss, list(self._weights.values()), allow_unused=True)
        gradients = dict(zip(self._weights, values, strict=True))
        for group, members in self._members.items():
            for tensor, number, axis in members:
                gradient = gradients[tensor]
                if gradient is not None:
                    per_position = gradient.abs().float().cpu().movedim(number, 0).flatten(1).mean(1)
                    self.scores[group] += sum_by_channel(per_position, axis, group)


def inputs_of(probe: Probe, num_images: int, batch_size: int) -> Iterable[tuple[Tensor, Sequence[str]]]:
    """Inputs and names, batch by batch."""
    device = next(probe.network.parameters()).device
    for batch in probe.inputs(num_images, batch_size):
        yield batch["input"].to(device), list(batch.get("name", ()))
