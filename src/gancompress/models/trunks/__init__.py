"""Trunks: frozen feature networks for comparing images. They take images in [0, 1], RGB, NCHW."""

from gancompress.models.trunks.load import TRUNKS, load_trunk
from gancompress.models.trunks.lpips import LpipsDistance, load_lpips
from gancompress.models.trunks.ssim import ssim
from gancompress.models.trunks.trunk import FeatureTrunk, freeze
from gancompress.models.trunks.weights import WEIGHTS, WeightFile, fetch_weights, load_weights

__all__ = [
    "TRUNKS",
    "WEIGHTS",
    "FeatureTrunk",
    "LpipsDistance",
    "WeightFile",
    "fetch_weights",
    "freeze",
    "load_lpips",
    "load_trunk",
    "load_weights",
    "ssim",
]
