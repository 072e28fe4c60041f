"""Options of latent metrics: numbers of samples, seed and projection."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from gancompress.options import Options

Count = Annotated[int, Field(ge=1)]


class ProjectionOptions(Options):
    """Options of the projection of real images to latents.

    Attributes:
        num_images: Number of images to project, the first of the split.
        num_steps: Steps of the optimizer.
        optimizer: ``adam``, all images of a batch at once; or ``lbfgs`` with a line search, one image after the other.
        learning_rate: Initial learning rate of Adam; it falls to 0 along a cosine.
        perceptual: Weight of the perceptual distance relative to the squared error, a mean over pixels in [-1, 1].
        noise_maps: Whether noise maps are optimized too; otherwise they are the generator's own.
    """

    num_images: Count = 16
    num_steps: Count = 100
    optimizer: Literal["adam", "lbfgs"] = "adam"
    learning_rate: Annotated[float, Field(gt=0)] = 0.1
    perceptual: Annotated[float, Field(ge=0)] = 1.0
    noise_maps: bool = False


class LatentMetricOptions(Options):
    """Numbers of samples, seed and projection of latent metrics.

    Attributes:
        num_pairs: Pairs of latents of a path length; published with 50,000 (StyleGAN2) and 5,000 (Content-Aware GAN
            Compression).
        num_morphs: Morphs from one latent to another.
        num_morph_steps: Equal steps of a morph.
        seed: Seed of everything that is drawn.
        projection: Options of the projection of real images.
    """

    num_pairs: Annotated[int, Field(ge=2)] = 1000
    num_morphs: Count = 16
    num_morph_steps: Annotated[int, Field(ge=2)] = 16
    seed: Annotated[int, Field(ge=0)] = 0
    projection: ProjectionOptions = ProjectionOptions()
