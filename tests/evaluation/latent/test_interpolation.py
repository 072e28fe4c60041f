from __future__ import annotations

import math

import torch

from gancompress.evaluation.latent import lerp, slerp


def test_slerp_turns_at_constant_speed_and_keeps_to_the_lengths_of_its_ends():
    a, b = torch.tensor([[2.0, 0, 0]]), torch.tensor([[0.0, 6, 0]])
    for part in (0.0, 0.25, 0.5, 1.0):
        length, angle = 2 + 4 * part, math.pi / 2 * part
        expected = length * torch.tensor([[math.cos(angle), math.sin(angle), 0]])
        torch.testing.assert_close(slerp(a, b, torch.tensor([[part]])), expected, atol=1e-6, rtol=0)


def test_directions_are_those_published_for_unit_vectors():
    a, b = torch.randn(2, 5, 7).double()
    unit_a, unit_b = (x / x.norm(dim=1, keepdim=True) for x in (a, b))
    omega = (unit_a * unit_b).sum(1, keepdim=True).acos()
    for part in (0.1, 0.7):
        shoemake = ((1 - part) * omega).sin() / omega.sin() * unit_a + (part * omega).sin() / omega.sin() * unit_b
        found = slerp(a, b, torch.full((5, 1), part).double())
        torch.testing.assert_close(found / found.norm(dim=1, keepdim=True), shoemake)


def test_lerp_is_a_line():
    a, b = torch.randn(2, 3, 4)
    torch.testing.assert_close(lerp(a, b, torch.full((3, 1), 0.25)), 0.75 * a + 0.25 * b)
