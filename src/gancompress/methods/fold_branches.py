"""Folding of the re-parameterised blocks of any module."""

from __future__ import annotations

from typing import Any

from torch import nn

from gancompress.methods.data import as_arguments
from gancompress.networks.fold_branches import fold
from gancompress.networks.registry import FAMILIES


def fold_branches(network: nn.Module, x: Any) -> tuple[nn.Module, tuple[str, ...]]:
    """Replace each re-parameterised block by the one convolution that computes the same in evaluation.

    Such blocks (of RepVGG, ECBSR, SPAN, ACNet, Diverse Branch Block) are trained with parallel branches: convolutions,
    chains of them, batch norms, the input itself. A block is folded if the convolution agrees with it in float64 to
    1e-10 on whole images, borders included, and is no larger; an activation that it ends with stays.

    Args:
        network: Any module instance; it is not changed.
        x: An input, or a tuple of all arguments of the forward pass; only shapes matter.

    Returns:
        A copy with convolutions, and the paths of the folded blocks. Without such blocks, and for the networks of this
        package, the network itself and no paths.

    Source: Ding et al., RepVGG, CVPR 2021, section 3.3.
    """
    if FAMILIES.of_network(type(network)) is not None:
        return network, ()
    folded, blocks = fold(network, as_arguments(x, network))
    return folded, tuple(blocks)
