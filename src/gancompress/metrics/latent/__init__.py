"""Metrics of latent spaces: path lengths, morphs and projections of generators from noise."""

from gancompress.metrics.latent.comparison import LatentComparison, LatentMeasurement
from gancompress.metrics.latent.interpolation import lerp, slerp
from gancompress.metrics.latent.morph import drawn_ends, morph, morph_positions
from gancompress.metrics.latent.options import LatentMetricOptions, ProjectionOptions
from gancompress.metrics.latent.path_length import PATHS, PathProtocol, path_lengths, within_percentiles
from gancompress.metrics.latent.projection import Projected, project
from gancompress.metrics.latent.space import LatentSpace

__all__ = [
    "PATHS",
    "LatentComparison",
    "LatentMeasurement",
    "LatentMetricOptions",
    "LatentSpace",
    "PathProtocol",
    "Projected",
    "ProjectionOptions",
    "drawn_ends",
    "lerp",
    "morph",
    "morph_positions",
    "path_lengths",
    "project",
    "slerp",
    "within_percentiles",
]
