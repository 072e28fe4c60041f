"""Trunks: frozen feature networks for comparing images. They take images in [0, 1], RGB, NCHW."""

from gancompress.perception.load import TRUNKS, load_trunk
from gancompress.perception.lpips import LpipsDistance, load_lpips
from gancompress.perception.ssim import ssim
from gancompress.perception.trunk import FeatureTrunk, freeze
from gancompress.perception.weights import WEIGHTS, WeightFile, fetch_weights, load_weights

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
