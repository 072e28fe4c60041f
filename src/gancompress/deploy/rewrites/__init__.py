"""Deployment rewrites: equivalent networks that runtimes run faster, or at all. Each is exact, up to rounding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from torch import nn

from gancompress.channels.skeleton import copy_module, view_module
from gancompress.deploy.rewrites.aligned import aligned_channels
from gancompress.deploy.rewrites.delegates import rank4_shuffles, relu_prelus
from gancompress.deploy.rewrites.folding import folded_batch_norms, folded_spectral_norms
from gancompress.deploy.rewrites.norms import decomposed_norms, float32_norms
from gancompress.deploy.rewrites.padding import sliced_reflection
from gancompress.deploy.rewrites.rewrite import Change, Rewrite
from gancompress.deploy.rewrites.shuffles import row_shuffles
from gancompress.deploy.rewrites.strided import strided_last_convolution
from gancompress.deploy.rewrites.transposed import even_transposed_convolutions, odd_transposed_convolutions
from gancompress.errors import ConfigError
from gancompress.registry import Registry

__all__ = ["FASTER", "FOLDED", "REWRITES", "Change", "Rewrite", "register_rewrite", "rewritten"]


class RewriteRegistry(Registry[Rewrite]):
    """Rewrites by name, in the order in which they run; those of other packages run last."""

    def check(self, path: str, found: Any) -> Rewrite:
        """Return a rewrite; a function from a network to a `Change` becomes one. Raises ConfigError for others."""
        if isinstance(found, Rewrite):
            return found
        if callable(found) and not isinstance(found, type):
            return Rewrite(cast(Any, found))
        raise ConfigError(f"{path}: got a {type(found).__name__}, expected a rewrite or a function of a network")

    def defining(self, value: Rewrite) -> Any:
        """Return the function."""
        return value.apply


REWRITES = RewriteRegistry("rewrites", "a known one")
"""Every rewrite by its name."""

for _rewrite in (
    Rewrite(folded_spectral_norms, writes=False),
    Rewrite(folded_batch_norms, writes=False),
    Rewrite(even_transposed_convolutions, writes=False),
    Rewrite(odd_transposed_convolutions, writes=False),
    Rewrite(strided_last_convolution, any_size=False, writes=False),
    Rewrite(row_shuffles, writes=False),
    Rewrite(aligned_channels, writes=False),
    Rewrite(sliced_reflection, writes=False),
    Rewrite(float32_norms, writes=False),
    Rewrite(decomposed_norms, writes=False),
    Rewrite(relu_prelus, writes=False),
    Rewrite(rank4_shuffles, writes=False),
):
    REWRITES.register(_rewrite.apply.__name__)(_rewrite)

register_rewrite = REWRITES.register
"""Return a decorator that adds a `Rewrite` under a name."""

FOLDED = ("folded_spectral_norms", "folded_batch_norms")
"""Rewrites that only remove operators."""

FASTER = (*FOLDED, "even_transposed_convolutions", "strided_last_convolution")
"""Rewrites that were measured to make networks faster on onnxruntime, OpenVINO and PyTorch."""


def rewritten(
    network: nn.Module, names: Sequence[str], *, shares: bool = False
) -> tuple[nn.Module, tuple[Change, ...]]:
    """Copy a network with rewrites applied, in the order of `REWRITES`.

    Args:
        network: A network in evaluation mode; not changed.
        names: Names or import paths of the rewrites.
        shares: Whether weights that no rewrite changes may share their memory with the network, for one who writes
            into none.

    Returns:
        The copy, and the change by each rewrite.

    Raises:
        ConfigError: There is no such rewrite.
    """
    found = {name: REWRITES.find(name, "rewrites") for name in names}
    order = [name for name in REWRITES if name in found]
    writes = not shares or any(each.writes for each in found.values())
    network = copy_module(network) if writes else view_module(network)
    return network, tuple(found[name].apply(network) for name in dict.fromkeys((*order, *found)))
