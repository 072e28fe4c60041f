"""Loss functions and loss terms. All are means over the batch, so they do not grow with its size.

A loss term has its formula, its options and its registration in one file; see `gancompress.losses.term`.
"""

from gancompress.losses.adversarial import ADVERSARIAL, Adversarial, AdversarialLoss, Formulas, GanForm
from gancompress.losses.balance import Balance, balance_gradients
from gancompress.losses.channels import ChannelDistillation, Channels
from gancompress.losses.cycle import Cycle, Identity
from gancompress.losses.feature_matching import FeatureMatching, feature_matching
from gancompress.losses.features import FeatureDistillation, Features, elastic_conv1x1
from gancompress.losses.fsp import FlowDistillation, Fsp, fsp_loss, fsp_matrix
from gancompress.losses.function import Function
from gancompress.losses.kernel_alignment import KernelAlignment, kernel_alignment, kernel_alignment_loss
from gancompress.losses.latent_directions import LatentDirections, latent_direction_loss
from gancompress.losses.lpips import Lpips
from gancompress.losses.multi_scale_rgb import MultiScaleRgb
from gancompress.losses.perceptual import (
    PERCEPTUAL,
    Perceptual,
    PerceptualLoss,
    PerceptualOptions,
    PerceptualSettings,
    load_perceptual_loss,
)
from gancompress.losses.processes import mean_over_processes, sum_over_processes
from gancompress.losses.reconstruction import L1, L2, RECONSTRUCTIONS, SmoothL1
from gancompress.losses.relation import Relation, angle_relation, distance_relation, image_items, relation_loss
from gancompress.losses.spectral import Mel, Stft
from gancompress.losses.ssim import Ssim, ssim_loss
from gancompress.losses.term import TERMS, AnyTerm, Comparison, Networks, Term, TermOptions, Weight, register_term
from gancompress.losses.term_list import AnyTerms, adversarial_of, check_terms, named
from gancompress.losses.total_variation import TotalVariation, total_variation

__all__ = [
    "ADVERSARIAL",
    "L1",
    "L2",
    "PERCEPTUAL",
    "RECONSTRUCTIONS",
    "TERMS",
    "Adversarial",
    "AdversarialLoss",
    "AnyTerm",
    "AnyTerms",
    "Balance",
    "ChannelDistillation",
    "Channels",
    "Comparison",
    "Cycle",
    "FeatureDistillation",
    "FeatureMatching",
    "Features",
    "FlowDistillation",
    "Formulas",
    "Fsp",
    "Function",
    "GanForm",
    "Identity",
    "KernelAlignment",
    "LatentDirections",
    "Lpips",
    "Mel",
    "MultiScaleRgb",
    "Networks",
    "Perceptual",
    "PerceptualLoss",
    "PerceptualOptions",
    "PerceptualSettings",
    "Relation",
    "SmoothL1",
    "Ssim",
    "Stft",
    "Term",
    "TermOptions",
    "TotalVariation",
    "Weight",
    "adversarial_of",
    "angle_relation",
    "balance_gradients",
    "check_terms",
    "distance_relation",
    "elastic_conv1x1",
    "feature_matching",
    "fsp_loss",
    "fsp_matrix",
    "image_items",
    "kernel_alignment",
    "kernel_alignment_loss",
    "latent_direction_loss",
    "load_perceptual_loss",
    "mean_over_processes",
    "named",
    "register_term",
    "relation_loss",
    "ssim_loss",
    "sum_over_processes",
    "total_variation",
]
