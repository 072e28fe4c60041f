"""What a student learns from inside its teacher."""

from gancompress.losses.distillation.channels import ChannelDistillation
from gancompress.losses.distillation.features import FeatureDistillation, elastic_conv1x1
from gancompress.losses.distillation.flow import FlowDistillation, fsp_loss, fsp_matrix
from gancompress.losses.distillation.kernel_alignment import kernel_alignment, kernel_alignment_loss
from gancompress.losses.distillation.latent_directions import latent_direction_loss
from gancompress.losses.distillation.relation import angle_relation, distance_relation, image_items, relation_loss

__all__ = [
    "ChannelDistillation",
    "FeatureDistillation",
    "FlowDistillation",
    "angle_relation",
    "distance_relation",
    "elastic_conv1x1",
    "fsp_loss",
    "fsp_matrix",
    "image_items",
    "kernel_alignment",
    "kernel_alignment_loss",
    "latent_direction_loss",
    "relation_loss",
]
