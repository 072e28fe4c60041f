"""Every network that the channel graph is tested on: all families, narrow, and the strangers."""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import cache

import torch
from torch import Tensor, nn

from gancompress.channels import ChannelGraph, ChannelPlan, trace
from gancompress.networks.registry import FAMILIES

from .modern import MODERN
from .strangers import STRANGERS

WITHOUT_GROUPS = {"multiscale_patchgan"}
"""Families that return all of their feature maps, so that every channel stays."""
SPADE = {"ngf": 8, "in_channels": 5, "upsampling": "normal"}

FAMILY_CASES: dict[str, tuple[str, dict]] = {
    **{
        name: (name, {family.config_type.base_width: 8})
        for name, family in FAMILIES.items()
        if name not in WITHOUT_GROUPS
    },
    "spade": ("spade", SPADE),
    "mobile_spade": ("mobile_spade", {**SPADE, "norm": "sync_batch"}),
    "stylegan2": ("stylegan2", {"channel_max": 12, "resolution": 16, "latent_size": 6}),
    "stylegan2_paper": ("stylegan2", {"channel_max": 8, "resolution": 8, "latent_size": 6, "narrow_scale": "paper"}),
    "stylegan2_discriminator": ("stylegan2_discriminator", {"channel_max": 8, "resolution": 32}),
    "sngan_classes": ("sngan_32", {"ngf": 8, "num_classes": 3}),
    "sngan_discriminator_classes": ("sngan_discriminator", {"ndf": 8, "in_channels": 6, "num_classes": 3}),
    "resnet_affine": ("resnet_6blocks", {"ngf": 8, "affine_norms": "prunable"}),
    "resnet_batch": ("mobile_resnet_6blocks", {"ngf": 8, "norm": "batch"}),
    "resnet_fast": (
        "mobile_resnet_6blocks",
        {
            "ngf": 8,
            "norm": "batch",
            "separable_norm": "batch",
            "padding": "zeros",
            "stem_kernel": 3,
            "tail": "half_size",
        },
    ),
    "rrdbnet": ("rrdbnet", {"nf": 8, "growth": 8, "num_blocks": 2}),
    "srvggnet_compact": ("srvggnet_compact", {"nf": 8, "num_conv": 2, "scale": 2}),
    "unet_instance": ("unet_128", {"ngf": 8, "norm": "instance"}),
}

CASES = (*FAMILY_CASES, *STRANGERS, *MODERN)


def make(name: str) -> tuple[nn.Module, tuple[Tensor, ...]]:
    """The network of a case with weights drawn from a fixed seed, in eval mode, and inputs for it."""
    torch.manual_seed(0)
    if name in FAMILY_CASES:
        family, config = FAMILIES.find(FAMILY_CASES[name][0]), FAMILY_CASES[name][1]
        module = family.build(config)
        side = max(32, family.parse(config).min_size)
        inputs = family.architecture(config).example_inputs((side, side))
    else:
        module, inputs = {**STRANGERS, **MODERN}[name]()
    with torch.no_grad():
        for tensor in (*module.parameters(), *module.buffers()):
            if tensor.dim() == 1 and tensor.is_floating_point():
                tensor.add_(torch.rand_like(tensor), alpha=0.5)
    return module.eval(), inputs


@cache
def graph_of(name: str) -> ChannelGraph:
    """The graph of a case, every width legal. Traced once: it holds no weights."""
    return trace(*make(name), multiple=1, minimum=1)


def random_plans(graph: ChannelGraph, num_plans: int = 2, left_out: float = 0.25) -> Iterator[ChannelPlan]:
    """Plans drawn from a fixed seed, every legal width equally likely, each block left out with some probability."""
    rng = random.Random(0)
    for _ in range(num_plans):
        widths = {name: rng.choice(group.choices) for name, group in graph.groups.items()}
        yield graph.plan(widths, [block for block in graph.blocks if rng.random() < left_out])
