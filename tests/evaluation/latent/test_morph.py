from __future__ import annotations

import torch

from gancompress.evaluation.latent import LatentComparison, LatentMetricOptions, LatentSpace, drawn_ends, morph
from gancompress.evaluation.latent.morph import morph_positions, morph_steps
from tests.evaluation.latent.spaces import linear_space, small_stylegan2, squared_distance


def test_equal_steps_of_a_line_are_equally_long():
    space = linear_space(with_styles=True)
    first, second, _ = drawn_ends(space, 3, seed=5)
    steps = morph_steps(space, squared_distance, 3, num_steps=8, batch_size=5, seed=5)
    expected = (6 * (second - first) / 8).square().sum(1)
    torch.testing.assert_close(steps, expected[:, None].expand(3, 8))


def test_a_generator_that_jumps_shows_it():
    """Its image is that of the nearer end: all of the way in one of eight steps."""
    ends = drawn_ends(linear_space(), 4, seed=0)
    cut = {tuple(a.tolist()): (a, b) for a, b in zip(ends[0], ends[1], strict=True)}

    def draw(given, noise):
        nearest = [min((end for pair in cut.values() for end in pair), key=lambda e: (e - z).norm()) for z in given]
        return torch.stack(nearest).view(-1, 3, 2, 2)

    space = LatentSpace(draw, 12, dtype=torch.float64)
    options = LatentMetricOptions(num_morphs=4, num_morph_steps=8)
    comparison = LatentComparison(space, squared_distance, options, lambda: (ends[0], ends[1]), 4)
    assert torch.allclose(comparison.morph_jump().values, torch.full((4,), 8.0).double())
    smooth = LatentComparison(linear_space(True), squared_distance, options, lambda: (ends[0], ends[1]), 4)
    assert torch.allclose(smooth.morph_jump().values, torch.ones(4).double())
    assert smooth.morph_jump().words == "8 equal steps along a line in W, seed 0"


def test_a_morph_begins_and_ends_with_the_images_of_its_ends():
    network = small_stylegan2()
    space = LatentSpace.of(network, 6)
    first, second, one_hot = (each[0] for each in drawn_ends(space, 1))
    images = morph(space, first, second, one_hot, morph_positions(4))
    with torch.no_grad():
        torch.testing.assert_close(images[[0, -1]], network(torch.stack([first, second])))
    assert len(images) == 5
