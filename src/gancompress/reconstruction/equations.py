"""Ridge regression by normal equations, with a ridge chosen on held-out equations."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

RIDGES = (1e-8, 1e-6, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
"""Candidate ridges, in units of the variance of the design columns."""


@dataclass(frozen=True)
class Solution:
    """Solution of a ridge regression: an addition to the coefficients.

    Attributes:
        change: [groups, unknowns, outputs].
        ridge: The chosen ridge; None if none was better than no change, and the change is then 0.
        before: Mean squared residual of the held-out equations without the change.
        after: The same with it.
    """

    change: Tensor
    ridge: float | None
    before: float
    after: float


@dataclass
class NormalEquations:
    """Sums over equations ``design @ change = residual``, in double precision.

    Attributes:
        gram: Sum of the products of unknowns, [groups, unknowns, unknowns].
        moments: Sum of the products of unknowns and residuals, [groups, unknowns, outputs].
        squares: Sum of the squared residuals.
        count: Equations for each output.
    """

    gram: Tensor
    moments: Tensor
    squares: float = 0.0
    count: int = 0

    @classmethod
    def of(cls, parts: Iterable[tuple[Tensor, Tensor]]) -> NormalEquations:
        """Sum the equations of parts (design [groups, p, unknowns], residual [groups, p, outputs])."""
        sums: NormalEquations | None = None
        for design, residual in parts:
            if sums is None:
                sums = cls(design.new_zeros(()), design.new_zeros(()))
            sums.gram = sums.gram + design.mT @ design
            sums.moments = sums.moments + design.mT @ residual
            sums.squares += residual.square().sum().item()
            sums.count += design.shape[1]
        assert sums is not None
        return sums

    def __add__(self, other: NormalEquations) -> NormalEquations:
        """Return the sums over the equations of both."""
        return NormalEquations(
            self.gram + other.gram,
            self.moments + other.moments,
            self.squares + other.squares,
            self.count + other.count,
        )

    def solve(self, ridge: float, free: Tensor) -> Tensor:
        """Return the change with the least squared residual plus ridge times squared change.

        Args:
            ridge: Penalty in units of the mean variance of a group's design columns (of their mean square if nothing is
                free).
            free: Unknowns without a penalty, [unknowns]: none, or the last one, whose design column is 1.

        Returns:
            [groups, unknowns, outputs]; NaN for a group whose matrix is singular in double precision.

        Source: Hoerl and Kennard, Ridge Regression, Technometrics 1970, equation 2.1.
        """
        squares = self.gram.diagonal(dim1=1, dim2=2)
        if free.any():
            squares = squares - self.gram[:, -1].square() / self.count
        scale = squares[:, ~free].clamp_min(0).mean(1)
        scale = torch.where(scale > 0, scale, 1.0)
        penalty = torch.where(free, 0.0, ridge * scale[:, None])
        factor, failed = torch.linalg.cholesky_ex(self.gram + torch.diag_embed(penalty))
        return torch.cholesky_solve(self.moments, factor).masked_fill((failed != 0)[:, None, None], torch.nan)

    def residual_after(self, change: Tensor) -> float:
        """Return the sum of the squared residuals with a change."""
        gained = (change * (self.gram @ change - 2 * self.moments)).sum().item()
        return self.squares + gained


def solve_with_held_out(fitted: NormalEquations, held_out: NormalEquations, free: Tensor) -> Solution:
    """Choose the ridge whose solution leaves the least residual in held-out equations, then solve all with it.

    If every candidate makes that residual larger, the change is 0.
    """
    errors = {ridge: held_out.residual_after(fitted.solve(ridge, free)) for ridge in RIDGES}
    errors = {ridge: error for ridge, error in errors.items() if math.isfinite(error)} or {RIDGES[-1]: math.inf}
    best = min(errors, key=errors.__getitem__)
    num_numbers = held_out.count * held_out.moments.shape[0] * held_out.moments.shape[2]
    before = held_out.squares / num_numbers
    if not errors[best] < held_out.squares:
        return Solution(torch.zeros_like(fitted.moments), None, before, before)
    change = (fitted + held_out).solve(best, free)
    if not change.isfinite().all():
        change = fitted.solve(best, free)
    return Solution(change, best, before, errors[best] / num_numbers)
