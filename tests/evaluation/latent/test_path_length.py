from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from gancompress.evaluation.latent import PATHS, LatentSpace, path_lengths, within_percentiles
from tests.evaluation.latent.spaces import linear_space, small_stylegan2, squared_distance


def drawn(num_pairs: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """The same latents as `path_lengths` draws."""
    first, second = torch.randn(2, num_pairs, 12, generator=torch.Generator().manual_seed(seed)).double()
    return first, second


@pytest.mark.parametrize("name", ["ppl_w", "ppl_wfull"])
def test_along_a_line_a_linear_generator_moves_as_fast_everywhere(name):
    first, second = drawn(40)
    found = path_lengths(linear_space(with_styles=True), squared_distance, PATHS[name], 40, 7)
    expected = (2 * 3 * (second - first)).square().sum(1)  # the noise maps of both ends are the same and cancel
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=0)


def test_along_an_arc_it_moves_by_the_angle_and_by_the_change_of_length():
    first, second = drawn(40)
    lengths = first.norm(dim=1), second.norm(dim=1)
    angle = ((first * second).sum(1) / (lengths[0] * lengths[1])).acos()
    expected = 4 * ((angle * lengths[0]).square() + (lengths[1] - lengths[0]).square())
    found = path_lengths(linear_space(), squared_distance, PATHS["ppl_z"], 40, 16)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=0)  # to first order in the step


def test_the_papers_variant_is_mostly_noise_and_not_divided():
    """Two noise maps of N(0, 1) differ by N(0, 2) in each of 12 numbers, where the step moves next to nothing."""
    found = path_lengths(linear_space(with_styles=True), squared_distance, PATHS["ppl_cagc"], 4000, 500)
    assert float(found.mean()) == pytest.approx(3 * 4 * 2, rel=0.05)


def test_what_is_drawn_depends_on_the_seed_and_on_no_batch():
    space = LatentSpace.of(small_stylegan2(), 6)
    whole, parts, other = (
        path_lengths(space, squared_distance, PATHS["ppl_wfull"], 9, batch, seed)
        for batch, seed in ((9, 3), (2, 3), (9, 4))
    )
    torch.testing.assert_close(whole, parts, rtol=1e-6, atol=0)
    assert not torch.isclose(whole, other, rtol=0.01).any()


@pytest.mark.parametrize("name", ["ppl_w", "ppl_z"])
def test_float32_is_enough_and_mixed_precision_does_not_reach_it(name):
    network = small_stylegan2()
    exact = path_lengths(LatentSpace.of(network, 6), squared_distance, PATHS[name], 16, 16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        single = path_lengths(LatentSpace.of(network.float(), 6), squared_distance, PATHS[name], 16, 16)
    torch.testing.assert_close(single, exact, rtol=0.02, atol=0)
    assert float(single.mean()) == pytest.approx(float(exact.mean()), rel=0.005)


def test_classes_are_the_same_at_both_ends():
    """A generator that shows its class gives no distance of its own to it."""
    seen = []

    def draw(given, noise):
        seen.append(given[:, 12:])
        return given[:, :12].view(-1, 3, 2, 2)

    space = LatentSpace(draw, 12, num_classes=5, dtype=torch.float64)
    path_lengths(space, squared_distance, PATHS["ppl_zfull"], 30, 30)
    before, after = seen
    assert torch.equal(before, after)
    assert torch.equal(before.sum(1), torch.ones(30).double())
    assert len(before.argmax(1).unique()) == 5


def test_the_filter_is_the_published_one():
    lengths = torch.randn(257).exp().double()
    low, high = (np.percentile(lengths, q, method=m) for q, m in ((1, "lower"), (99, "higher")))
    expected = lengths[(lengths >= low) & (lengths <= high)]
    assert torch.equal(within_percentiles(lengths), expected)
    assert len(expected) < 257


def test_images_are_compared_at_256_pixels_and_in_three_colours():
    sizes = []

    def distance(images, targets):
        sizes.append(tuple(images.shape))
        return squared_distance(images, targets)

    space = LatentSpace(lambda given, _: given[:, :1, None, None].expand(-1, 1, 512, 512), 12, dtype=torch.float64)
    path_lengths(space, distance, PATHS["ppl_z"], 2, 2)
    assert sizes == [(2, 3, 256, 256)]


def test_any_network_from_noise_has_a_z_space():
    network = nn.Sequential(nn.Linear(12, 12), nn.Unflatten(1, (3, 2, 2))).double()
    space = LatentSpace.of(network, 12)
    assert space.mapping is None
    assert (path_lengths(space, squared_distance, PATHS["ppl_z"], 4, 4) > 0).all()
