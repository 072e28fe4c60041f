"""Losses: small pure pieces, one file per idea. All are means over the batch, so they do not grow with its size."""

from gancompress.losses.adversarial import ADVERSARIAL, AdversarialLoss
from gancompress.losses.balance import Balance, balance_gradients
from gancompress.losses.distillation import (
    ChannelDistillation,
    FeatureDistillation,
    FlowDistillation,
    angle_relation,
    distance_relation,
    fsp_loss,
    image_items,
    kernel_alignment_loss,
    latent_direction_loss,
    relation_loss,
)
from gancompress.losses.feature_matching import feature_matching
from gancompress.losses.perceptual import (
    PERCEPTUAL,
    PerceptualLoss,
    PerceptualOptions,
    PerceptualSettings,
    load_perceptual_loss,
)
from gancompress.losses.reconstruction import RECONSTRUCTIONS, find_reconstruction
from gancompress.losses.ssim import ssim_loss
from gancompress.losses.tv import total_variation

__all__ = [
    "ADVERSARIAL",
    "PERCEPTUAL",
    "RECONSTRUCTIONS",
    "AdversarialLoss",
    "Balance",
    "ChannelDistillation",
    "FeatureDistillation",
    "FlowDistillation",
    "PerceptualLoss",
    "PerceptualOptions",
    "PerceptualSettings",
    "angle_relation",
    "balance_gradients",
    "distance_relation",
    "feature_matching",
    "find_reconstruction",
    "fsp_loss",
    "image_items",
    "kernel_alignment_loss",
    "latent_direction_loss",
    "load_perceptual_loss",
    "relation_loss",
    "ssim_loss",
    "total_variation",
]
