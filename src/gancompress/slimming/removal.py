"""Removal of dead channels and residual blocks without changing the outputs of the network.

A channel whose gamma is 0 still emits a constant, its norm's shift after the activation. The effect of that constant
on the layers that read it is added to their biases before the channel is removed. If a bias cannot hold it, behind
zero padding or in a transposed convolution, a channel only counts as dead once the shift is 0 too
(`ChannelScales.dead`).
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from gancompress.channels import ChannelGraph, ChannelPlan, without_blocks
from gancompress.slimming.controller import plan_of


@dataclass(frozen=True)
class Removal:
    """Channels and residual blocks to remove from a network.

    Attributes:
        graph: The network's graph.
        order: For each group its channels in a new order, the kept ones first.
        plan: Number of kept channels of each group, and the blocks left out.
    """

    graph: ChannelGraph
    order: Mapping[str, Tensor]
    plan: ChannelPlan

    @staticmethod
    def of(graph: ChannelGraph, dead: Mapping[str, Tensor]) -> Removal:
        """Remove dead channels and blocks; see `plan_of`.

        A group keeps its narrowest legal width, with the first of its dead channels if necessary.

        Args:
            graph: The network's graph.
            dead: For each group bool [size], and for each block bool [1]; others keep all channels.
        """
        groups = {name: gone for name, gone in dead.items() if name in graph.groups}
        order = {name: torch.argsort(gone.cpu().int(), stable=True) for name, gone in groups.items()}
        return Removal(graph, order, plan_of(graph, dead))

    @property
    def kept(self) -> dict[str, np.ndarray]:
        """The kept channels of each group, in order."""
        return {name: order[: self.plan.widths[name]].numpy() for name, order in self.order.items()}

    def __call__(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the kept part of tensors shaped like the network's: its weights or an optimizer's moments."""
        return {name: self._kept_of(name, tensor) for name, tensor in tensors.items() if self.plan.holds(name)}

    def living(self, marks: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the kept part of a value for each channel, [size] by group, and for each block, [1]."""
        values = {name: each for name, each in marks.items() if name not in self.plan.left_out}
        return {name: each[self.kept[name]] if name in self.order else each for name, each in values.items()}

    def _kept_of(self, name: str, tensor: Tensor) -> Tensor:
        if not self.graph.has(name):
            return tensor  # a tensor that quantization added, which belongs to no channel
        for number, axis in enumerate(self.graph.axes(name)):
            if any(group in self.order for group in axis.groups):
                tensor = tensor.index_select(number, torch.from_numpy(axis.kept(self.kept)).to(tensor.device))
        return tensor

    def is_empty(self) -> bool:
        """Return True if every channel is kept."""
        return self.plan == self.graph.full_plan()


@torch.no_grad()
def fold_constants(
    module: nn.Module,
    removal: Removal,
    example: Sequence[Tensor],
    groups: Container[str],
    tensors: Mapping[str, Tensor],
) -> None:
    """Add the constant outputs of removed channels to the biases of the layers that read them, in place.

    If a bias cannot hold the effect (`can_fold`), it gets the value of the image's interior, averaged over the
    positions of a stride; the border differs.

    Args:
        module: The network at full width, in eval mode.
        removal: The channels and blocks to remove. Channels that are not constant are replaced by their mean.
        example: Inputs on which the constants are measured; any inputs do if the removed channels are constant.
        groups: Names of the groups to fold; the outputs of removed channels of other groups are not read.
        tensors: The module's parameters by name as they count in its outputs, with the scales that they do not hold.
    """
    layers = {path: layer for path, layer in module.named_modules() if removal.plan.holds(path)}
    readers = {path: layer for path, layer in layers.items() if _takes_constants(layer)}
    own = {name: tensor for name, tensor in tensors.items() if removal.plan.holds(name)}
    device = next(module.parameters()).device
    with without_blocks(module, removal.plan.left_out), _means(readers) as means:
        torch.func.functional_call(module, own, tuple(tensor.to(device) for tensor in example))
    kept = {name: channels for name, channels in removal.kept.items() if name in groups}
    for path, layer in readers.items():
        removed = torch.ones(len(means[path]), dtype=torch.bool, device=device)
        removed[torch.from_numpy(removal.graph.axes(f"{path}.weight")[_input_axis(layer)].kept(kept)).to(device)] = (
            False
        )
        if removed.any():
            bias = module.get_parameter(f"{path}.bias")
            bias.copy_(_of_constants(layer, torch.where(removed, means[path], 0)))


def can_fold(layer: nn.Module) -> bool:
    """Return True if a layer turns a constant input channel into a constant that its bias can hold.

    Zero padding changes the output at the border; in a transposed convolution it varies with the position in the
    stride.
    """
    if isinstance(layer, nn.Linear):
        return layer.bias is not None
    if not isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Conv3d) or layer.bias is None or layer.groups > 1:
        return False
    return layer.padding_mode != "zeros" or layer.padding == "valid" or not any(layer.padding)


def _of_constants(layer: nn.Module, constants: Tensor) -> Tensor:
    """Return the output of a layer for constant input channels, ``(outputs,)``, with its bias and rounding.

    Args:
        layer: The layer.
        constants: The value of each of its input channels, ``(inputs,)``.
    """
    if isinstance(layer, nn.Linear):
        return layer(constants[None])[0]
    assert isinstance(layer, _CONVOLUTIONS)
    extents = [d * (k - 1) + 1 for d, k in zip(layer.dilation, layer.kernel_size, strict=True)]
    size = [each if can_fold(layer) else 4 * each * s for each, s in zip(extents, layer.stride, strict=True)]
    image = constants.view(1, -1, *[1] * len(size)).expand(1, -1, *size)
    made = layer(image.contiguous())[0]
    for axis, sides in enumerate(made.shape[1:], start=1):
        made = made.narrow(axis, sides // 4, max(1, sides // 2))  # the inside
    return made.flatten(1).mean(1)


_CONVOLUTIONS = nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.ConvTranspose1d | nn.ConvTranspose2d | nn.ConvTranspose3d


def _input_axis(layer: nn.Module) -> int:
    return 0 if isinstance(layer, nn.ConvTranspose1d | nn.ConvTranspose2d | nn.ConvTranspose3d) else 1


def _takes_constants(layer: nn.Module) -> bool:
    """Return True if a layer has a bias and each of its outputs reads all input channels."""
    if not isinstance(layer, nn.Linear | _CONVOLUTIONS) or layer.bias is None:
        return False
    return isinstance(layer, nn.Linear) or layer.groups == 1


@contextmanager
def _means(layers: Mapping[str, nn.Module]) -> Iterator[Mapping[str, Tensor]]:
    """Collect the mean of each input channel of layers while the network runs, by path."""
    means: dict[str, Tensor] = {}

    def note(path: str, layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        channels = inputs[0].movedim(-1 if isinstance(layer, nn.Linear) else 1, 0)
        means[path] = channels.flatten(1).mean(1)

    handles = [layer.register_forward_pre_hook(partial(note, path)) for path, layer in layers.items()]
    try:
        yield means
    finally:
        for handle in handles:
            handle.remove()
