"""Latency of any plan: the sum of its parts, corrected by what whole networks took."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from gancompress.channels import ChannelGraph, ChannelPlan
from gancompress.latency.parts import Part
from gancompress.latency.table import LatencyTable


@dataclass(frozen=True)
class ModelError:
    """How far predictions are from networks that they were not fitted to.

    Attributes:
        median: Of the relative differences, as a fraction.
        rank_correlation: Spearman's, of predictions and measurements.
        num_networks: How many were compared.
    """

    median: float
    rank_correlation: float
    num_networks: int

    def __str__(self) -> str:
        return (
            f"median error {100 * self.median:.1f} %, rank correlation {self.rank_correlation:.3f} "
            f"on {self.num_networks} networks"
        )


class LatencyModel:
    """Milliseconds of a plan.

    A part measured alone pays for the way in and out, a runtime merges across parts, and what runs between parts is in
    none: the sum of the parts is scaled and shifted to fit whole networks, in the least squares of relative errors.
    Between measured widths times are interpolated linearly. A layer never becomes faster as it grows: of the two
    monotone envelopes of what was measured, the mean is taken.
    """

    def __init__(self, graph: ChannelGraph, parts: Sequence[Part], table: LatencyTable) -> None:
        """Fit it.

        Args:
            graph: The graph of the network.
            parts: Its parts.
            table: What was measured, of each kind of part on a complete grid.
        """
        self._parts = tuple(parts)
        self._grids = {kind: _Grid(times) for kind, times in table.parts.items()}
        self._known: dict[tuple[str, tuple[int, ...]], float] = {}
        names = list(graph.groups)
        plans = [dict(zip(names, widths, strict=True)) for widths in table.networks]
        sums = np.array([self._sum(widths) for widths in plans])
        measured = np.array(list(table.networks.values()))
        self.shift, self.scale = _fitted(sums, measured)
        self.error = _error(sums, measured)

    def at(self, plan: ChannelPlan) -> float:
        """Milliseconds of a plan."""
        return float(self.shift + self.scale * self._sum(plan.widths))

    def _sum(self, widths: Mapping[str, int]) -> float:
        total = 0.0
        for part in self._parts:
            key = (part.kind, part.widths(widths))
            if key not in self._known:
                self._known[key] = self._grids[part.kind].at(key[1])
            total += self._known[key]
        return total


class _Grid:
    """Times over a grid of widths."""

    def __init__(self, times: Mapping[tuple[int, ...], float]) -> None:
        self._axes = [np.array(sorted(set(axis)), dtype=float) for axis in zip(*times, strict=True)]
        shape = tuple(map(len, self._axes))
        places = product(*(map(int, axis) for axis in self._axes))
        values = np.array([times[widths] for widths in places]).reshape(shape)
        upper, lower = values, values
        for axis in range(values.ndim):
            upper = np.maximum.accumulate(upper, axis)
            lower = np.flip(np.minimum.accumulate(np.flip(lower, axis), axis), axis)
        self._values = (upper + lower) / 2

    def at(self, widths: Sequence[int]) -> float:
        """Interpolated along one axis after the other; beyond the ends the end."""
        values = self._values
        for axis, width in zip(self._axes, widths, strict=True):
            values = np.apply_along_axis(lambda line, a=axis, w=width: np.interp(w, a, line), 0, values)
        return float(values)


def rank_correlation(a: Sequence[float] | np.ndarray, b: Sequence[float] | np.ndarray) -> float:
    """Spearman's rank correlation; equal values share their mean rank. Not a number where one side is constant."""
    ranks = [_ranks(np.asarray(values, dtype=float)) for values in (a, b)]
    first, second = (rank - rank.mean() for rank in ranks)
    norm = float(np.sqrt((first @ first) * (second @ second)))
    return float(first @ second) / norm if norm else float("nan")


def _ranks(values: np.ndarray) -> np.ndarray:
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2)[inverse]


def _fitted(sums: np.ndarray, measured: np.ndarray) -> tuple[float, float]:
    """Shift and scale with the least squares of relative errors; a scale alone where it would not grow."""
    if len(set(sums.tolist())) > 1:
        rows = np.stack([np.ones_like(sums), sums], axis=1) / measured[:, None]
        shift, scale = np.linalg.lstsq(rows, np.ones_like(measured), rcond=None)[0]
        if scale > 0:
            return float(shift), float(scale)
    ratios = sums / measured
    return 0.0, float(ratios.sum() / (ratios @ ratios))


def _error(sums: np.ndarray, measured: np.ndarray) -> ModelError:
    """Each network predicted by a fit to the others."""
    predicted = []
    for left_out in range(len(sums)):
        others = np.arange(len(sums)) != left_out
        shift, scale = _fitted(sums[others], measured[others]) if others.any() else (0.0, 1.0)
        predicted.append(shift + scale * sums[left_out])
    differences = np.abs(np.array(predicted) - measured) / measured
    return ModelError(float(np.median(differences)), rank_correlation(predicted, measured), len(measured))
