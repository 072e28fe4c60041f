from __future__ import annotations

import pytest
import torch

from gancompress.evaluation import psnr
from gancompress.evaluation.latent import LatentComparison, LatentMetricOptions, LatentSpace, ProjectionOptions, project
from tests.evaluation.latent.spaces import linear_space, small_stylegan2, squared_distance


def mean_squared(images: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return squared_distance(images, targets) / images[0].numel()


@pytest.fixture(scope="module")
def space() -> LatentSpace:
    return LatentSpace.of(small_stylegan2(), 6)


@pytest.fixture(scope="module")
def targets(space) -> torch.Tensor:
    """Images that the generator draws, each of several styles."""
    assert space.mapping is not None
    with torch.no_grad():
        noise = torch.randn(3 * space.num_styles, 6, generator=torch.Generator().manual_seed(1)).double()
        images = space.draw(space.mapping(noise).view(3, space.num_styles, 6), None)
    return images / images.abs().max()


@pytest.mark.parametrize(("optimizer", "num_steps", "gain_db"), [("adam", 80, 15), ("lbfgs", 40, 25)])
def test_an_image_of_the_generator_is_found_again(space, optimizer, num_steps, gain_db):
    assert space.mapping is not None
    with torch.no_grad():
        own = space.draw(space.mapping(torch.randn(2, 6).double())[:, None], None)
    options = ProjectionOptions(num_steps=num_steps, optimizer=optimizer)
    start = project(space, own, mean_squared, ProjectionOptions(num_steps=1, learning_rate=1e-9)).images
    found = project(space, own, mean_squared, options).images
    before, after = ((images - own).square().mean((1, 2, 3)) for images in (start, found))
    assert (after < before / 10 ** (gain_db / 10)).all()


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
@pytest.mark.parametrize("noise_maps", [False, True])
def test_a_batch_is_projected_as_its_images_alone_and_again_the_same(space, targets, optimizer, noise_maps):
    options = ProjectionOptions(num_steps=15, optimizer=optimizer, noise_maps=noise_maps)
    together = project(space, targets, mean_squared, options)
    again = project(space, targets, mean_squared, options)
    alone = [project(space, target[None], mean_squared, options) for target in targets]
    assert torch.equal(together.images, again.images)
    torch.testing.assert_close(together.images, torch.cat([each.images for each in alone]), rtol=1e-6, atol=1e-6)
    assert together.latents.shape == (3, space.num_styles, 6)
    assert (together.noise is not None) == noise_maps


def test_noise_maps_bring_images_nearer(space, targets):
    errors = [
        float((project(space, targets, mean_squared, options).images - targets).square().mean())
        for options in (ProjectionOptions(num_steps=60, noise_maps=maps) for maps in (False, True))
    ]
    assert errors[1] < errors[0]


def test_a_generator_without_styles_is_searched_in_its_noise_and_keeps_the_class():
    seen = []

    def draw(given, noise):
        seen.append(given[:, 12:].detach().clone())
        return 2 * given[:, :12].view(-1, 3, 2, 2)

    space = LatentSpace(draw, 12, num_classes=2, dtype=torch.float64)
    z, classes = torch.randn(3, 12).double(), torch.eye(2)[[0, 1, 1]].double()
    found = project(space, draw(torch.cat([z, classes], 1), None), mean_squared, ProjectionOptions(), classes)
    torch.testing.assert_close(found.latents, z, atol=0.1, rtol=0)
    assert all(torch.equal(each, classes) for each in seen)


def test_the_figures_are_those_of_the_stored_images():
    targets = (torch.rand(5, 3, 2, 2, generator=torch.Generator().manual_seed(0)) * 2 - 1).double()
    space, options = linear_space(), LatentMetricOptions()
    comparison = LatentComparison(space, mean_squared, options, lambda: (targets, torch.zeros(5, 0)), batch_size=2)
    found = torch.cat([project(space, part, mean_squared, options.projection).images for part in targets.split(2)])
    measurement = comparison.projection_psnr()
    assert torch.equal(measurement.values, psnr(found, targets))
    assert measurement.count == 5
    low, high = measurement.interval() or (0, 0)
    assert low < measurement.values.mean() < high
    assert measurement.words == "into Z, 100 steps of adam at 0.1, perceptual weight 1"
    assert (comparison.projection_distance().values < 1e-4).all()


def test_the_weights_get_no_gradients():
    network = small_stylegan2()
    project(LatentSpace.of(network, 6), torch.zeros(1, 3, 16, 16), mean_squared, ProjectionOptions(num_steps=1))
    assert all(parameter.grad is None for parameter in network.parameters())
