"""Latency of any plan, from what whole networks took and what explains it: measured parts, or MACs and bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod

import numpy as np

from gancompress.channels import ChannelGraph, ChannelPlan
from gancompress.cost import CostModel
from gancompress.latency.parts import Part
from gancompress.latency.table import LatencyTable
from gancompress.metrics import rank_correlation


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


_BASES: dict[str, tuple[int, ...]] = {"the sum of parts": (0,), "MACs": (1,), "MACs and bytes": (1, 2)}
"""What a latency may be explained by: columns of what `LatencyModel` knows of a plan."""


class LatencyModel:
    """Milliseconds of a plan: whole networks, explained by what explains those best that were left out of the fit.

    Three explanations compete, each scaled and shifted in the least squares of relative errors: the sum of the plan's
    parts as they were measured alone; its MACs; its MACs and the bytes of its activations. A part measured alone pays
    for its way in and out, which a runtime spares inside a network, and a runtime merges across parts: so the sum does
    not always win. One in which something would cost less than nothing is left out.

    Between measured widths times of parts are interpolated linearly. A part never becomes faster as it grows: of the
    two monotone envelopes of what was measured, the mean is taken.

    Attributes:
        basis: What explains best.
        error: How far it is from networks that were left out.
    """

    def __init__(self, graph: ChannelGraph, parts: Sequence[Part], table: LatencyTable) -> None:
        """Fit it.

        Args:
            graph: The graph of the network.
            parts: Its parts.
            table: What was measured, of each kind of part on a complete grid.
        """
        self._parts, self._cost, self._graph = tuple(parts), CostModel(graph), graph
        self._grids = {kind: _Grid(times) for kind, times in table.parts.items()}
        self._known: dict[tuple[str, tuple[int, ...]], float] = {}
        first = {shape.storage: shape for shape in reversed(graph.shapes) if not shape.weight}
        self._activations = tuple(first.values())
        plans = [ChannelPlan(dict(zip(graph.groups, widths, strict=True))) for widths in table.networks]
        known = np.array([self._known_of(plan) for plan in plans])
        measured = np.array(list(table.networks.values()))
        fits = {basis: _fitted(known[:, columns], measured) for basis, columns in _BASES.items()}
        left_out = {
            basis: _left_out(known[:, columns], measured)
            for basis, columns in _BASES.items()
            if (fits[basis][1:] > 0).all()
        }
        squares = {basis: float(np.square(p / measured - 1).mean()) for basis, p in left_out.items()}
        self.basis = min(squares, key=lambda basis: squares[basis], default="the sum of parts")
        self._fit = fits[self.basis]
        predicted = left_out.get(self.basis, measured)
        differences = np.abs(predicted / measured - 1)
        self.error = ModelError(float(np.median(differences)), rank_correlation(predicted, measured), len(measured))

    def at(self, plan: ChannelPlan) -> float:
        """Milliseconds of a plan."""
        return float(self._fit[0] + self._fit[1:] @ self._known_of(plan)[list(_BASES[self.basis])])

    def __str__(self) -> str:
        return f"by {self.basis}, {self.error}"

    def _known_of(self, plan: ChannelPlan) -> np.ndarray:
        """The sum of the parts in milliseconds, MACs, and bytes. Shape ``(3,)``."""
        total = 0.0
        for part in self._parts:
            key = (part.kind, part.widths(plan.widths))
            if key not in self._known:
                self._known[key] = self._grids[part.kind].at(key[1])
            total += self._known[key]
        written = sum(
            shape.itemsize * prod(extent.at(plan.widths) for extent in shape.extents) for shape in self._activations
        )
        return np.array([total, self._cost.macs(plan).true, written], dtype=float)


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


def _fitted(known: np.ndarray, measured: np.ndarray) -> np.ndarray:
    """Shift and scales with the least squares of relative errors; without a shift where there are too few networks."""
    unit = np.abs(known).max(axis=0)
    rows = np.concatenate([np.ones((len(known), 1)), known / unit], axis=1) / measured[:, None]
    enough = np.linalg.matrix_rank(rows) == rows.shape[1]
    used = slice(0 if enough else 1, None)
    fit = np.zeros(rows.shape[1])
    fit[used] = np.linalg.lstsq(rows[:, used], np.ones_like(measured), rcond=None)[0]
    fit[1:] /= unit
    return fit


def _left_out(known: np.ndarray, measured: np.ndarray) -> np.ndarray:
    """Each network predicted by a fit to the others; a single one by itself."""
    predicted = []
    for one in range(len(known)):
        others = np.arange(len(known)) != one if len(known) > 1 else slice(None)
        fit = _fitted(known[others], measured[others])
        predicted.append(fit[0] + fit[1:] @ known[one])
    return np.array(predicted)
