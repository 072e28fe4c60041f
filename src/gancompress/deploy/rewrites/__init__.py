"""Deployment rewrites: equivalent networks that runtimes run faster, or at all. Each is exact, up to rounding."""

from __future__ import annotations

import copy
from collections.abc import Sequence

from torch import nn

from gancompress.deploy.rewrites.aligned import aligned_channels
from gancompress.deploy.rewrites.folding import folded_batch_norms, folded_spectral_norms
from gancompress.deploy.rewrites.norms import decomposed_norms, float32_norms
from gancompress.deploy.rewrites.padding import sliced_reflection
from gancompress.deploy.rewrites.rewrite import Change, Rewrite
from gancompress.deploy.rewrites.shuffles import row_shuffles
from gancompress.deploy.rewrites.strided import strided_last_convolution
from gancompress.deploy.rewrites.transposed import even_transposed_convolutions, odd_transposed_convolutions
from gancompress.errors import ConfigError, nearest

__all__ = ["FASTER", "FOLDED", "REWRITES", "Change", "Rewrite", "rewritten"]

REWRITES: dict[str, Rewrite] = {
    rewrite.__name__: rewrite
    for rewrite in (
        folded_spectral_norms,
        folded_batch_norms,
        even_transposed_convolutions,
        odd_transposed_convolutions,
        strided_last_convolution,
        row_shuffles,
        aligned_channels,
        sliced_reflection,
        float32_norms,
        decomposed_norms,
    )
}
"""Registry of rewrites by name, in the order in which they run."""

FOLDED = ("folded_spectral_norms", "folded_batch_norms")
"""Rewrites that only remove operators."""

FASTER = (*FOLDED, "even_transposed_convolutions", "strided_last_convolution")
"""Rewrites that were measured to make networks faster on onnxruntime, OpenVINO and PyTorch."""


def rewritten(network: nn.Module, names: Sequence[str]) -> tuple[nn.Module, tuple[Change, ...]]:
    """Copy a network with rewrites applied, in the order of `REWRITES`.

    Args:
        network: A network in evaluation mode; not changed.
        names: Names of the rewrites.

    Returns:
        The copy, and the change by each rewrite.

    Raises:
        ConfigError: There is no such rewrite.
    """
    for name in names:
        if name not in REWRITES:
            raise ConfigError(f"rewrites: got '{name}', expected a known one; {nearest(name, REWRITES)}")
    network = copy.deepcopy(network)
    return network, tuple(rewrite(network) for name, rewrite in REWRITES.items() if name in names)
