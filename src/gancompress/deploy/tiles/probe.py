"""Locality of a network in a file that does not state it, found by changing a part of an image."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction

import torch
from torch import Tensor

from gancompress.networks.locality import PERIODS, Locality

Run = Callable[[Tensor], Tensor]

_SIDES = (64, 128, 256)
_SEEN = 1e-5
"""Largest change, of the largest value of the output, that counts as none: that of rounding."""
_ALIKE = 1e-4


def probe_locality(run: Run, channels: int, fixed: tuple[int, int] | None) -> Locality | None:
    """Measure the locality of a function on images; slower than reading it from a network, and true of its values only.

    Args:
        run: Function from images [1, c, h, w] in [-1, 1] to images.
        channels: Their channels.
        fixed: The only size that it takes; None if sizes are free.

    Returns:
        The locality; None if pixels depend on the whole image, on more of it than can be seen, or on their place.
    """
    for size in [fixed] if fixed is not None else [(side, side) for side in _SIDES]:
        probe = _Probe(run, channels, size)
        reach = probe.reach(1)
        if reach is None or not probe.scales:
            continue
        for period in sorted(PERIODS):
            overlap = probe.reach(period)
            if overlap is not None and probe.shifts(period, -(-overlap // period) * period):
                return Locality(-(-overlap // period) * period, period, probe.scale)
    return None


class _Probe:
    """A function on images of one size, which are cut from a larger one."""

    def __init__(self, run: Run, channels: int, size: tuple[int, int]) -> None:
        self._run, self._size = run, size
        shape = (1, channels, *(2 * side for side in size))
        self._pixels = torch.rand(shape, generator=torch.Generator().manual_seed(0)) * 2 - 1
        self._plain = run(self._at(0))
        scales = {Fraction(a, b) for a, b in zip(self._plain.shape[-2:], size, strict=True)}
        self.scales = self._plain.dim() == 4 and len(scales) == 1
        self.scale = scales.pop()

    def _at(self, shift: int) -> Tensor:
        height, width = self._size
        return self._pixels[..., shift : shift + height, shift : shift + width].contiguous()

    def reach(self, period: int) -> int | None:
        """Return the pixels to each side that a square of the input changes; None if it changes an end of the image."""
        changed, starts = self._at(0), [side // 2 // period * period for side in self._size]
        square = changed[..., starts[0] : starts[0] + period, starts[1] : starts[1] + period]
        square.mul_(-1)
        far = (self._run(changed) - self._plain).abs().amax((0, 1))
        seen = far > _SEEN * float(self._plain.abs().max())
        found = 0
        for axis, start in enumerate(starts):
            rows = seen.any(1 - axis).nonzero()
            if not len(rows):
                continue
            first, behind = int(rows[0]), int(rows[-1]) + 1
            if first == 0 or behind == seen.shape[axis]:
                return None
            found = max(found, math.ceil(start - first / self.scale), math.ceil(behind / self.scale - start - period))
        return found

    def shifts(self, period: int, overlap: int) -> bool:
        """Return whether a shift of the input shifts the inside of the output and changes nothing else."""
        if (period * self.scale).denominator != 1:
            return False
        shifted, step, edge = self._run(self._at(period)), int(period * self.scale), int(overlap * self.scale)
        inside = self._plain[..., step + edge : -edge or None, step + edge : -edge or None]
        other = shifted[..., edge : -step - edge, edge : -step - edge]
        if not inside.numel():
            return False
        return bool((inside - other).abs().max() <= _ALIKE * max(1.0, float(self._plain.abs().max())))
