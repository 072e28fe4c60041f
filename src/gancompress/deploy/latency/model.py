"""Latency model of plans, fitted to whole networks by measured parts, or by MACs and bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod

import numpy as np

from gancompress.channels import ChannelGraph, ChannelPlan
from gancompress.cost import CostModel
from gancompress.deploy.latency.parts import Part
from gancompress.deploy.latency.table import LatencyTable
from gancompress.evaluation import rank_correlation


@dataclass(frozen=True)
class ModelError:
    """Error of predictions on networks that were not fitted.

    Attributes:
        median: Median of the relative differences, as a fraction.
        rank_correlation: Spearman's rank correlation of predictions and measurements.
        num_networks: Number of networks compared.
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
"""Candidate bases of the fit: columns of the features that `LatencyModel` computes for a plan."""


class LatencyModel:
    """Milliseconds of a plan, fitted to whole networks with the basis that predicts held-out networks best.

    There are three candidate bases, each scaled and shifted by least squares of relative errors: the sum of the plan's
    parts as measured alone; its MACs; its MACs and the bytes of its activations. The sum of parts is not always the
    best: a part measured alone includes input and output overhead that a runtime avoids inside a network, and a runtime
    fuses across parts. A basis with a coefficient that is not positive is not used.

    Times of parts are interpolated linearly between measured widths. They are monotone in the width: the mean of the
    two monotone envelopes of the measurements.

    Attributes:
        basis: The best basis.
        error: Its error on held-out networks.
    """

    def __init__(self, graph: ChannelGraph, parts: Sequence[Part], table: LatencyTable) -> None:
        """Fit the model.

        Args:
            graph: The graph of the network.
            parts: Its parts.
            table: Measurements, for each kind of part on a complete grid.
        """
        self._parts, self._cost, self._graph = tuple(parts), CostModel(graph), graph
        self._grids = {kind: _Grid(times) for kind, times in table.parts.items()}
        self._known: dict[tuple[str, tuple[int, ...]], float] = {}
        made = {ref.index: number for number, op in reversed(list(enumerate(graph.ops))) for ref in op.outputs}
        shapes = reversed(list(enumerate(graph.shapes)))
        first = {shape.storage: (made.get(i, -1), shape) for i, shape in shapes if not shape.weight}
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
        """Return the milliseconds of a plan."""
        return float(self._fit[0] + self._fit[1:] @ self._known_of(plan)[list(_BASES[self.basis])])

    def __str__(self) -> str:
        return f"by {self.basis}, {self.error}"

    def _known_of(self, plan: ChannelPlan) -> np.ndarray:
        """Return the sum of the parts in milliseconds, the MACs, and the bytes. Shape ``(3,)``."""
        total = 0.0
        inside = frozenset[int]().union(*(self._graph.blocks[name].ops for name in plan.left_out))
        for part in self._parts:
            if not plan.holds(part.path):
                continue
            key = (part.kind, part.widths(plan.widths))
            if key not in self._known:
                self._known[key] = self._grids[part.kind].at(key[1])
            total += self._known[key]
        written = sum(
            shape.itemsize * prod(extent.at(plan.widths) for extent in shape.extents)
            for made, shape in self._activations
            if made not in inside
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
        """Interpolate along one axis after the other; widths outside the grid are clamped."""
        values = self._values
        for axis, width in zip(self._axes, widths, strict=True):
            values = np.apply_along_axis(lambda line, a=axis, w=width: np.interp(w, a, line), 0, values)
        return float(values)


def _fitted(known: np.ndarray, measured: np.ndarray) -> np.ndarray:
    """Fit shift and scales by least squares of relative errors; without a shift if there are too few networks."""
    unit = np.abs(known).max(axis=0)
    rows = np.concatenate([np.ones((len(known), 1)), known / unit], axis=1) / measured[:, None]
    enough = np.linalg.matrix_rank(rows) == rows.shape[1]
    used = slice(0 if enough else 1, None)
    fit = np.zeros(rows.shape[1])
    fit[used] = np.linalg.lstsq(rows[:, used], np.ones_like(measured), rcond=None)[0]
    fit[1:] /= unit
    return fit


def _left_out(known: np.ndarray, measured: np.ndarray) -> np.ndarray:
    """Predict each network by a fit to the others (leave-one-out); a single one by a fit to itself."""
    predicted = []
    for one in range(len(known)):
        others = np.arange(len(known)) != one if len(known) > 1 else slice(None)
        fit = _fitted(known[others], measured[others])
        predicted.append(fit[0] + fit[1:] @ known[one])
    return np.array(predicted)
