"""Metrics of latent spaces: path lengths, morphs and projections of generators from noise."""

from gancompress.evaluation.latent.comparison import LatentComparison, LatentMeasurement
from gancompress.evaluation.latent.interpolation import lerp, slerp
from gancompress.evaluation.latent.morph import drawn_ends, morph, morph_positions
from gancompress.evaluation.latent.options import LatentMetricOptions, ProjectionOptions
from gancompress.evaluation.latent.path_length import PATHS, PathProtocol, path_lengths, within_percentiles
from gancompress.evaluation.latent.projection import Projected, project
from gancompress.evaluation.latent.space import LatentSpace

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
