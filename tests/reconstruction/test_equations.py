"""Ridge regression, against least squares by another algorithm."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from gancompress.reconstruction.equations import RIDGES, NormalEquations, solve_with_held_out

FREE = torch.tensor([False] * 4 + [True])


def drawn(count: int = 60, noise: float = 0.1) -> tuple[Tensor, Tensor]:
    """Two groups of equations with a constant among the unknowns."""
    design = torch.randn(2, count, 4, dtype=torch.float64) * torch.tensor([1.0, 2.0, 0.1, 1.0])
    design = torch.cat([design, torch.ones(2, count, 1)], 2).double()
    truth = torch.randn(2, 5, 3, dtype=torch.float64)
    return design, design @ truth + noise * torch.randn(2, count, 3, dtype=torch.float64)


@pytest.mark.parametrize("ridge", [0.01, 1.0])
def test_a_solution_is_that_of_the_augmented_system(ridge):
    design, residual = drawn()
    found = NormalEquations.of([(design[:, :7], residual[:, :7]), (design[:, 7:], residual[:, 7:])]).solve(ridge, FREE)
    for group in (0, 1):
        weight = ridge * 60 * float(design[group, :, :4].var(0, correction=0).mean())
        rows = np.diag(np.sqrt([weight] * 4 + [0.0]))
        system = np.vstack([design[group].numpy(), rows])
        expected = np.linalg.lstsq(system, np.vstack([residual[group].numpy(), np.zeros((5, 3))]), rcond=None)[0]
        torch.testing.assert_close(found[group], torch.from_numpy(expected), rtol=0, atol=1e-9)


def test_the_residual_of_a_change():
    design, residual = drawn()
    change = torch.randn(2, 5, 3, dtype=torch.float64)
    expected = (residual - design @ change).square().sum().item()
    assert NormalEquations.of([(design, residual)]).residual_after(change) == pytest.approx(expected)


def test_held_out_equations_choose_the_ridge():
    design, residual = drawn(40, noise=3.0)
    fitted, held_out = (NormalEquations.of([(design[:, part], residual[:, part])]) for part in (slice(8), slice(8, 40)))
    errors = {
        ridge: (residual[:, 8:] - design[:, 8:] @ fitted.solve(ridge, FREE)).square().mean().item() for ridge in RIDGES
    }
    found = solve_with_held_out(fitted, held_out, FREE)
    assert found.ridge == min(errors, key=errors.__getitem__)
    assert found.after == pytest.approx(errors[found.ridge])
    assert found.before == pytest.approx(residual[:, 8:].square().mean().item())
    torch.testing.assert_close(found.change, NormalEquations.of([(design, residual)]).solve(found.ridge, FREE))


def test_what_makes_held_out_equations_worse_is_not_done():
    design, residual = drawn(40)
    against = NormalEquations.of([(design, -residual)])
    found = solve_with_held_out(NormalEquations.of([(design, residual)]), against, FREE)
    assert found.ridge is None
    assert not found.change.any()
    assert found.after == found.before


def test_dead_unknowns_stay():
    design, residual = drawn()
    design[..., 2] = 0
    design[1, :, :4] = 0
    change = NormalEquations.of([(design, residual)]).solve(0.01, FREE)
    assert change.isfinite().all()
    assert not change[:, 2].any()
    torch.testing.assert_close(change[1, 4], residual[1].mean(0))


def test_a_ridge_that_rounding_makes_singular_is_no_candidate():
    """Two equal inputs, far from 0: a small ridge vanishes beside their squares."""
    same = 1e9 + torch.randn(1, 50, 1, dtype=torch.float64)
    design = torch.cat([same, same, torch.ones(1, 50, 1)], 2).double()
    equations = NormalEquations.of([(design, torch.randn(1, 50, 1, dtype=torch.float64))])
    free = torch.tensor([False, False, True])
    assert equations.solve(1e-8, free).isnan().all()
    found = solve_with_held_out(equations, equations, free)
    assert found.change.isfinite().all()
