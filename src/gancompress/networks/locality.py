"""Locality of a network of images: the part of its input that determines a pixel of its output.

Values that are not numbers spread through every operator to whatever depends on them, whatever the weights are. So a
band of rows without numbers in the input shows in the output which rows depend on it. Convolutions are replaced by
their spread, so that a probe costs little beside a run of the network.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from gancompress.networks.input_rule import InputRule
from gancompress.networks.outputs import image_of

PERIODS = (1, 2, 4, 8, 16, 32, 64, 3, 6, 12, 24, 48, 5, 10, 20, 40, 7, 14, 28, 56)
"""Shifts of its input in pixels that are tried: a network with strides or windows treats images alike only at some."""

_SIDES = (64, 256, 1024)
_WIDTH = 16
_FILL = 0.25  # neither zero, by which networks may divide, nor so large that it overflows
_MOST_VALUES = 2**28
_MOST_BYTES_AT_ONCE = 2**26  # of the largest operator
_CHECKED_PX = 64
_CHECKED_SIDE, _SHORT, _BOUNDED = 128, 32, 0.25
_CLOSE = 1e-3


@dataclass(frozen=True)
class Locality:
    """Part of the input that determines a pixel of the output, and what a tile of the input must keep to.

    Attributes:
        overlap_px: Pixels of the input around a pixel, to each side, that its output depends on: the radius of the
            receptive field, rounded up to ``multiple_px``.
        multiple_px: Shift of the input in pixels that shifts the output and changes nothing else.
        scale: Size of the output divided by the size of the input.
        bytes_per_px: Memory of the largest operator for each pixel of the input; None if it is not known.
    """

    overlap_px: int
    multiple_px: int
    scale: Fraction
    bytes_per_px: int | None = None

    def describe(self) -> dict[str, Any]:
        """Return plain values for the metadata of a file."""
        memory = {} if self.bytes_per_px is None else {"bytes_per_px": self.bytes_per_px}
        sizes = {"overlap_px": self.overlap_px, "multiple_px": self.multiple_px}
        return {**sizes, "scale": [self.scale.numerator, self.scale.denominator], **memory}

    @classmethod
    def from_description(cls, description: Any) -> Self:
        """Read the result of `describe`. Raises ValueError for anything else."""
        try:
            overlap, multiple = int(description["overlap_px"]), int(description["multiple_px"])
            scale, memory = Fraction(*map(int, description["scale"])), description.get("bytes_per_px")
            if overlap < 0 or multiple < 1 or scale <= 0:
                raise ValueError(description)
        except (TypeError, KeyError, ZeroDivisionError, AttributeError) as error:
            raise ValueError(description) from error
        return cls(overlap, multiple, scale, None if memory is None else int(memory))


class NotLocalError(Exception):
    """A pixel of the output depends on the whole input, or on more of it than is measured."""


@torch.no_grad()
def measure_locality(network: nn.Module, channels: int, rule: InputRule | None = None) -> Locality | None:
    """Measure the locality of a network from one image [b, c, h, w] to one.

    Args:
        network: The network in evaluation mode, on the CPU, in float.
        channels: Number of channels of its input.
        rule: Rule of its inputs, if it is known.

    Returns:
        The locality; None if a pixel depends on the whole image, or on more than 300 px to each side of it.

    Raises:
        Exception: The network cannot be measured: it fails on the sizes tried, or has no image as its output.
    """
    rule = rule or InputRule()
    sides = sorted({_fitting(side, rule) for side in _SIDES})
    try:
        found = [_along(network, channels, axis, sides, _fitting(_WIDTH, rule)) for axis in (2, 3)]
    except NotLocalError:
        return None
    multiple = math.lcm(rule.multiple, *(each.multiple_px for each in found))
    overlap = -(-max(each.overlap_px for each in found) // multiple) * multiple
    memory = max(each.bytes_per_px or 0 for each in found)
    locality = Locality(overlap, multiple, found[0].scale, memory)
    if found[0].scale != found[1].scale or (overlap <= _CHECKED_PX and not _shifts(network, channels, locality, rule)):
        return None
    return locality


def _fitting(side: int, rule: InputRule) -> int:
    """Return a side that the rule allows, at least as long as the wanted one."""
    return -(-max(side, rule.minimum) // rule.multiple) * rule.multiple


def _along(network: nn.Module, channels: int, axis: int, sides: Sequence[int], width: int) -> Locality:
    """Measure along one axis, on strips that grow until no end of them depends on their middle."""
    bytes_per_px = 0
    for side in sides:
        strip = _Strip(network, channels, axis, side, width, bytes_per_px)
        middle = side // 2 // max(PERIODS) * max(PERIODS) or side // 2
        try:
            period = strip.period(middle)
            band = strip.affected([(middle, middle + period)])[0]
        except _EndReachedError:
            bytes_per_px = strip.bytes_per_px
            continue
        before, after = middle - band[0] / strip.scale, band[1] / strip.scale - (middle + period)
        return Locality(max(0, math.ceil(max(before, after))), period, strip.scale, strip.bytes_per_px)
    raise NotLocalError


class _EndReachedError(Exception):
    """The strip is too short."""


class _Strip:
    """Strip of an image, long along one axis, on which a network is probed.

    What a pixel of a shorter strip needed, ``bytes_per_px``, says how many bands are probed at a time; 0 if unknown.
    """

    def __init__(self, network: nn.Module, channels: int, axis: int, side: int, width: int, bytes_per_px: int) -> None:
        self._network, self._axis, self._side = network, axis, side
        self._shape = (channels, side, width) if axis == 2 else (channels, width, side)
        self.scale, self.bytes_per_px = Fraction(1), bytes_per_px

    def affected(self, bands: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
        """Return for each band of the input the first row of the output that depends on it, and the row behind them.

        Raises:
            _EndReachedError: An end of the strip depends on it.
            NotLocalError: An operator spreads a band over the whole strip.
        """
        images = torch.full((len(bands), *self._shape), _FILL)
        for image, (first, behind) in zip(images, bands, strict=True):
            image.narrow(self._axis - 1, first, behind - first).fill_(torch.nan)
        with _Spreading(self._axis, checks=self._side <= _CHECKED_SIDE) as spreading:
            output = image_of(self._network(images))
        if output.dim() != 4:
            raise NotLocalError
        length = output.shape[self._axis]
        self.scale = Fraction(length, self._side)
        self.bytes_per_px = spreading.most_bytes // (len(bands) * self._shape[1] * self._shape[2])
        found = []
        for lost in output.sum((1, 5 - self._axis)).isnan():
            rows = lost.nonzero()
            first, behind = (int(rows[0]), int(rows[-1]) + 1) if len(rows) else (length // 2, length // 2)
            if first == 0 or behind == length:
                raise _EndReachedError
            found.append((first, behind))
        return found

    def period(self, middle: int) -> int:
        """Return the smallest shift that shifts what depends on a row by as much, in pixels of the input."""
        shifts = [each for each in PERIODS if middle + each < self._side]
        bands = [(at, at + 1) for at in (middle, middle + shifts[0])]
        base, *others = self.affected(bands[: self._at_once])
        if not others:
            others = self.affected(bands[1:])
        while others:
            for shift, other in zip(shifts, others, strict=False):
                if all(end - start == shift * self.scale for start, end in zip(base, other, strict=True)):
                    return shift
            shifts = shifts[len(others) :]
            bands = [(middle + each, middle + each + 1) for each in shifts[: self._at_once]]
            others = self.affected(bands) if bands else []
        raise NotLocalError

    @property
    def _at_once(self) -> int:
        """Number of bands that are probed at a time; fewer where one needs much memory."""
        return max(1, _MOST_BYTES_AT_ONCE // max(1, self.bytes_per_px * self._shape[1] * self._shape[2]))


class _Spreading(TorchDispatchMode):
    """Computes convolutions as the spread of values that are not numbers, and notices an operator that is not local."""

    def __init__(self, axis: int, checks: bool) -> None:
        super().__init__()
        self._axis, self._checks, self.most_bytes = axis, checks, 0
        self._largest_share = 1 / _CHECKED_SIDE  # of the input at least

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Return False: nothing is compiled here, and to import the compiler takes seconds."""
        return False

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operator."""
        if function is torch.ops.aten.convolution.default:
            result = _spread(*args, **(kwargs or {}))
        else:
            result = function(*args, **(kwargs or {}))
        before, after = _images(args), _images(result)
        if sum(each.numel() for each in after) > _MOST_VALUES:
            raise NotLocalError
        self.most_bytes = max(self.most_bytes, sum(each.numel() * 4 for each in (*before, *after)))
        if self._checks and after and function is not torch.ops.aten.convolution.default:
            alike = before and len({each.shape[self._axis] for each in (*before, *after)}) == 1
            if not (alike and torch.Tag.pointwise in function.tags):
                self._check(before, after[0])
        return result

    def _check(self, before: Sequence[Tensor], after: Tensor) -> None:
        """Raise if values that are no numbers spread from a fourth of an image over all of it.

        An image that comes from other tensors, as that of attention does from pixels in a row, is compared with all
        images before it.
        """
        length = after.shape[self._axis]
        if length < _SHORT or not after.dtype.is_floating_point:
            return
        alike = [each for each in before if each.shape[self._axis] == length]
        share = max((_share(each, self._axis) for each in alike), default=self._largest_share)
        spread = _share(after, self._axis)
        if 0 < share <= _BOUNDED and spread == 1:
            raise NotLocalError
        self._largest_share = max(self._largest_share, share, spread)


def _share(images: Tensor, axis: int) -> float:
    """Return the share of the rows that hold a value that is not a number."""
    return float(images.sum((1, 5 - axis)).isnan().float().mean())


def _images(values: Any) -> list[Tensor]:
    return [each for each in tree_leaves(values) if isinstance(each, Tensor) and each.dim() == 4]


def _spread(
    images: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    transposed: bool,
    output_padding: list[int],
    groups: int,
) -> Tensor:
    """Return an output of a convolution's shape without numbers where it depends on values that are none."""
    del bias
    lost = images.sum(1, keepdim=True).isnan().to(torch.float32)
    kernel = torch.ones(1, 1, *weight.shape[2:])
    hits = torch.ops.aten.convolution.default(
        lost, kernel, None, stride, padding, dilation, transposed, output_padding, 1
    )
    spread = torch.where(hits > 0.5, torch.nan, _FILL)
    channels = weight.shape[1] * groups if transposed else weight.shape[0]
    return spread.expand(-1, channels, *(-1,) * (spread.dim() - 2)).contiguous()


def _shifts(network: nn.Module, channels: int, locality: Locality, rule: InputRule) -> bool:
    """Return whether a part of an image gives the same part of the output: no pixel's value depends on its place."""
    step = _fitting(max(locality.multiple_px, 8), rule)
    length, width = _fitting(2 * locality.overlap_px + 3 * step, rule), _fitting(_WIDTH, rule)
    image = torch.rand(1, channels, length, width, generator=torch.Generator().manual_seed(0)) * 2 - 1
    whole, part = image_of(network(image)), image_of(network(image[:, :, step:].contiguous()))
    start, overlap = (int(each * locality.scale) for each in (step, locality.overlap_px))
    inside = part[:, :, overlap : part.shape[2]]
    expected = whole[:, :, start + overlap :]
    return bool((inside - expected).abs().max() <= _CLOSE * max(1.0, float(expected.abs().max())))
