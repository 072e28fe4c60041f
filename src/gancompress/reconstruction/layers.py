"""Layers as linear equations: a design matrix of inputs for each output position, and the weights as a matrix."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.nn.utils import parametrize
from torch.nn.utils.parametrizations import _WeightNorm
from torch.nn.utils.weight_norm import WeightNorm

from gancompress.channels import ChannelGraph, ChannelPlan

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
SOLVABLE = (nn.Linear, *CONVOLUTIONS, *TRANSPOSED)


def has_weights(layer: nn.Module) -> bool:
    """Return True for linear layers, convolutions and their subclasses."""
    return isinstance(layer, nn.Linear | _ConvNd)


def obstacle(layer: nn.Module) -> str | None:
    """Return the reason why the weights of a linear layer or convolution cannot be solved for; None if they can."""
    kind = parametrize.type_before_parametrizations(layer)
    if stored_weight(layer) is None:
        return "its weight is computed from other tensors"
    if kind not in SOLVABLE:
        return f"{kind.__name__} is not a plain layer of PyTorch"
    return None


def stored_weight(layer: nn.Module) -> Tensor | None:
    """Return the parameter that holds a layer's weights, or their direction under weight norm; None for other forms."""
    if parametrize.is_parametrized(layer, "weight"):
        (first, *more) = layer.parametrizations["weight"]  # type: ignore[index]
        return layer.parametrizations["weight"].original1 if isinstance(first, _WeightNorm) and not more else None  # type: ignore[index]
    if any(isinstance(hook, WeightNorm) for hook in layer._forward_pre_hooks.values()):
        return layer._parameters["weight_v"]
    return None if parametrize.is_parametrized(layer) else layer._parameters.get("weight")


def _write_weight(layer: nn.Module, value: Tensor) -> None:
    """Set the weights of a layer, or their direction and norm, in place."""
    if parametrize.is_parametrized(layer, "weight"):
        layer.weight = value  # type: ignore[assignment]
        return
    weight = cast(Tensor, layer.weight)
    for hook in layer._forward_pre_hooks.values():
        if isinstance(hook, WeightNorm):
            cast(Tensor, layer.weight_v).copy_(value)
            cast(Tensor, layer.weight_g).copy_(torch.norm_except_dim(value.to(weight.dtype), 2, hook.dim))
    weight.copy_(value)


def channel_axis(layer: nn.Module, ndim: int) -> int:
    """Return the channel axis of a layer's output, counted from the front."""
    return ndim - 1 if isinstance(layer, nn.Linear) else 1


def kept_outputs(name: str, layer: nn.Module, graph: ChannelGraph, plan: ChannelPlan) -> Tensor:
    """Return the output channels of a wide layer that a plan keeps, shape [kept].

    Args:
        name: Path of the layer.
        layer: The wide layer.
        graph: Graph of the wide network.
        plan: The plan; the leading channels of every group are kept.
    """
    leading = {group: np.arange(width) for group, width in plan.widths.items()}
    stored = stored_weight(layer)
    weight = next(own for own, tensor in layer.named_parameters() if tensor is stored)
    first, *others = (axis.kept(leading) for axis in graph.axes(f"{name}.{weight}"))
    if not isinstance(layer, TRANSPOSED):
        return torch.from_numpy(first)
    per_group = layer.out_channels // layer.groups
    # The first axis has the input channels: of a depthwise layer those are its groups.
    groups = first if layer.groups == layer.in_channels else np.arange(layer.groups)
    return torch.from_numpy((groups[:, None] * per_group + others[0]).ravel())


def rows(output: Tensor, axis: int, positions: Tensor) -> Tensor:
    """Return the channels of a tensor at some of its positions.

    Args:
        output: Any tensor with at least two axes.
        axis: The axis of its channels.
        positions: Flat indices over all other axes, in order, shape [p].

    Returns:
        Shape [p, channels].
    """
    return output.movedim(axis, -1).flatten(0, -2)[positions]


@dataclass(frozen=True)
class Matrices:
    """A layer as a matrix product for each of its groups.

    Attributes:
        layer: A linear layer or convolution, transposed or not, of any groups, strides, dilations and paddings.
    """

    layer: nn.Module

    @property
    def has_bias(self) -> bool:
        """True if a constant is among the unknowns."""
        return getattr(self.layer, "bias", None) is not None

    @property
    def num_unknowns(self) -> int:
        """Number of unknowns of one output channel."""
        return self.coefficients().shape[1] + self.has_bias

    @property
    def num_equations_needed(self) -> int:
        """Smallest number of equations that can determine all unknowns of one output channel.

        It is the number of unknowns; more for a transposed convolution, because each of its outputs reads only the taps
        of its position in the stride.
        """
        layer = self.layer
        if not isinstance(layer, _ConvTransposeNd):
            return self.num_unknowns
        taps = (s * math.ceil(k / s) for s, k in zip(layer.stride, layer.kernel_size, strict=True))
        return layer.in_channels // layer.groups * math.prod(taps) + self.has_bias

    def coefficients(self) -> Tensor:
        """Return the weights, without bias, as [groups, reads, outputs of a group]."""
        layer, weight = self.layer, cast(Tensor, self.layer.weight)
        if isinstance(layer, nn.Linear):
            return weight.t()[None]
        assert isinstance(layer, _ConvNd)
        grouped = weight.unflatten(0, (layer.groups, -1))
        if isinstance(layer, _ConvTransposeNd):  # [groups, in, out, taps], read from the last tap to the first
            return grouped.flatten(3).flip(3).transpose(2, 3).flatten(1, 2)
        return grouped.flatten(2).transpose(1, 2)

    def install(self, coefficients: Tensor, bias: Tensor | None) -> None:
        """Write weights into the layer, the inverse of `coefficients`, in place.

        Args:
            coefficients: [groups, reads, outputs of a group].
            bias: [groups, outputs of a group], or None if the layer has none.
        """
        layer, weight = self.layer, cast(Tensor, self.layer.weight)
        if isinstance(layer, _ConvTransposeNd):
            taps = weight[0, 0].numel()
            value = coefficients.unflatten(1, (-1, taps)).transpose(2, 3).flip(3)
        else:
            value = coefficients.transpose(1, 2)
        _write_weight(layer, value.reshape(weight.shape).to(weight.dtype))
        if bias is not None:
            cast(Tensor, layer.bias).copy_(bias.flatten())

    def design(self, given: Tensor, shape: torch.Size, positions: Tensor) -> Tensor:
        """Return the input values that some output positions read, as a design matrix.

        Args:
            given: The layer's input.
            shape: Shape of the layer's output.
            positions: Flat indices over batch and spatial positions of the output, shape [p].

        Returns:
            [groups, p, reads], so that ``design @ coefficients`` is the output without bias.
        """
        layer = self.layer
        if isinstance(layer, nn.Linear):
            return rows(given, given.ndim - 1, positions)[None]
        assert isinstance(layer, _ConvNd)
        if isinstance(layer, _ConvTransposeNd):
            return _patches(_spread(given, layer, shape[2:]), layer, (1,) * len(layer.stride), shape, positions)
        return _patches(_padded(given, layer), layer, layer.stride, shape, positions)


def _padded(given: Tensor, layer: _ConvNd) -> Tensor:
    mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
    return F.pad(given, layer._reversed_padding_repeated_twice, mode=mode)


def _spread(given: Tensor, layer: _ConvTransposeNd, size: torch.Size) -> Tensor:
    """Return the zero-stuffed input over which the reversed kernel of a transposed convolution moves with stride 1.

    ``stride - 1`` zeros lie between its pixels, and around it as many as the output size requires.

    Source: Dumoulin and Visin, A guide to convolution arithmetic for deep learning, 2016, section 4.
    """
    num_axes = len(size)
    spread = given.new_zeros(
        *given.shape[:2], *((n - 1) * s + 1 for n, s in zip(given.shape[2:], layer.stride, strict=True))
    )
    spread[(slice(None), slice(None), *(slice(None, None, s) for s in layer.stride))] = given
    margins: list[int] = []
    for axis in reversed(range(num_axes)):
        reach = layer.dilation[axis] * (layer.kernel_size[axis] - 1)
        before = reach - int(layer.padding[axis])
        margins += [before, size[axis] + reach - before - spread.shape[2 + axis]]
    return F.pad(spread, margins)


def _patches(image: Tensor, layer: _ConvNd, stride: tuple[int, ...], shape: torch.Size, positions: Tensor) -> Tensor:
    """Return the patches [groups, p, in * taps] under a kernel at some positions of its output."""
    places = torch.unravel_index(positions, (shape[0], *shape[2:]))
    taps = torch.cartesian_prod(
        *(torch.arange(k, device=image.device) * d for k, d in zip(layer.kernel_size, layer.dilation, strict=True))
    )
    taps = taps.view(-1, len(stride))
    index = places[0][:, None]
    for axis, step in enumerate(stride):
        index = index * image.shape[2 + axis] + places[1 + axis][:, None] * step + taps[:, axis]
    gathered = image.transpose(0, 1).flatten(1)[:, index]  # [channels, p, taps]
    return gathered.unflatten(0, (layer.groups, -1)).transpose(1, 2).flatten(2)
