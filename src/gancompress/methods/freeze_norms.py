"""Frozen norms: instance norms become scales and shifts with fixed statistics, which fold into convolutions.

The conversion is not exact, because an instance norm computes the statistics of each image. So training should follow.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from gancompress.cost.measured import evaluation_mode
from gancompress.errors import ConfigError
from gancompress.methods.data import Batches, Data
from gancompress.networks.given import Given, call
from gancompress.networks.layers import FrozenNorm

NUM_IMAGES = 64

InstanceNorm = nn.InstanceNorm1d | nn.InstanceNorm2d | nn.InstanceNorm3d
Statistics = tuple[Tensor, Tensor]
"""Mean [c] and biased variance [c]."""


def freeze_norms(network: nn.Module, batches: Data, *, num_images: int = NUM_IMAGES) -> nn.Module:
    """Replace instance norms by norms with the mean statistics of some images; train the network afterwards.

    A frozen norm is one scale and one shift of each channel, which runtimes fold into the convolution before it.

    Args:
        network: Any module with instance norms; it is not changed.
        batches: Inputs like those in deployment.
        num_images: Images whose statistics are averaged; fewer if the batches have fewer.

    Returns:
        A copy in evaluation mode, on the device of the network.

    Raises:
        ConfigError: The network has no instance norms.
        DataError: There are no batches, or some are of an unknown kind.
    """
    if not instance_norms(network):
        raise ConfigError(
            f"freeze_norms: got {type(network).__name__}, a network without instance norms, expected at least one "
            "nn.InstanceNorm1d, 2d or 3d; there is nothing to freeze"
        )
    statistics = norm_statistics(network, Batches(batches, "batches").inputs(num_images))
    return freeze_at(network, statistics).eval()


def instance_norms(network: nn.Module) -> dict[str, InstanceNorm]:
    """Return the instance norms of a network by path; a shared one under all its paths."""
    modules = network.named_modules(remove_duplicate=False)
    return {path: layer for path, layer in modules if isinstance(layer, InstanceNorm)}


def norm_statistics(network: nn.Module, batches: Iterable[Given]) -> dict[str, Statistics]:
    """Return mean and biased variance of every channel of an instance norm's input, each averaged over images.

    Args:
        network: The network; unchanged after the call.
        batches: Inputs of the network.

    Returns:
        [c] and [c] by the norm's path. Norms that track running statistics give those; norms that the forward pass does
        not run are missing.
    """
    norms = instance_norms(network)
    sums: dict[nn.Module, tuple[Tensor, Tensor, int]] = {}

    def add(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        variance, mean = torch.var_mean(inputs[0].double(), tuple(range(2, inputs[0].ndim)), correction=0)
        old = sums.get(norm, (0.0, 0.0, 0))
        sums[norm] = old[0] + mean.sum(0), old[1] + variance.sum(0), old[2] + len(mean)

    handles = [norm.register_forward_pre_hook(add) for norm in set(norms.values())]
    device = next(network.parameters(), torch.empty(0)).device
    try:
        with evaluation_mode(network), torch.no_grad():
            for batch in batches:
                call(network, batch.to(device))
    finally:
        for handle in handles:
            handle.remove()
    means = {
        norm: ((mean / count).float(), (variance / count).float()) for norm, (mean, variance, count) in sums.items()
    }
    tracked = {
        norm: (norm.running_mean.detach().clone(), norm.running_var.detach().clone())
        for norm in sums
        if isinstance(norm, InstanceNorm) and norm.running_mean is not None and norm.running_var is not None
    }
    return {path: {**means, **tracked}[norm] for path, norm in norms.items() if norm in sums}


def freeze_at(network: nn.Module, statistics: Mapping[str, Statistics]) -> nn.Module:
    """Return a copy of a network whose instance norms have fixed statistics; their scales and shifts are kept.

    Args:
        network: The network; it is not changed.
        statistics: Mean and variance by the norm's path; other norms stay as they are.
    """
    copied = copy.deepcopy(network)
    norms, made = instance_norms(copied), dict[nn.Module, FrozenNorm]()
    for path, (mean, variance) in statistics.items():
        norm = norms[path]
        frozen = made.setdefault(norm, _frozen(norm, mean, variance))
        if not path:
            return frozen
        parent, _, name = path.rpartition(".")
        setattr(copied.get_submodule(parent), name, frozen)
    return copied


@torch.no_grad()
def _frozen(norm: InstanceNorm, mean: Tensor, variance: Tensor) -> FrozenNorm:
    frozen = FrozenNorm(len(mean), norm.eps)
    if norm.affine:
        frozen.weight.copy_(norm.weight)
        frozen.bias.copy_(norm.bias)
    frozen.get_buffer("running_mean").copy_(mean)
    frozen.get_buffer("running_var").copy_(variance)
    return frozen.to(mean.device).train(norm.training)
