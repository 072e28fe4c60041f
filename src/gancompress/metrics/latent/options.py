"""How much is drawn for metrics of a latent space."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from gancompress.options import Options

Count = Annotated[int, Field(ge=1)]


class ProjectionOptions(Options):
    """Finding the latents of real images.

    Attributes:
        num_images: The first images of the split that are projected.
        num_steps: Steps of the optimizer.
        optimizer: ``adam``, all images of a batch at once; or ``lbfgs`` with a line search, one image after the other.
        learning_rate: Of Adam at the start; it falls to 0 along a cosine.
        perceptual: Weight of the perceptual distance beside the squared error, a mean over pixels in [-1, 1].
        noise_maps: Whether noise maps are found, too; otherwise they are the generator's own.
    """

    num_images: Count = 16
    num_steps: Count = 100
    optimizer: Literal["adam", "lbfgs"] = "adam"
    learning_rate: Annotated[float, Field(gt=0)] = 0.1
    perceptual: Annotated[float, Field(ge=0)] = 1.0
    noise_maps: bool = False


class LatentMetricOptions(Options):
    """How much is drawn.

    Attributes:
        num_pairs: Pairs of latents of a path length; published with 50,000 (StyleGAN2) and 5,000 (Content-Aware GAN
            Compression).
        num_morphs: Morphs from one latent to another one.
        num_morph_steps: Equal steps of a morph.
        seed: Of all that is drawn.
        projection: Of real images.
    """

    num_pairs: Annotated[int, Field(ge=2)] = 1000
    num_morphs: Count = 16
    num_morph_steps: Annotated[int, Field(ge=2)] = 16
    seed: Annotated[int, Field(ge=0)] = 0
    projection: ProjectionOptions = ProjectionOptions()
