"""Running statistics of batch norms, computed anew: averages over all calibration batches, nothing of the past."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase


def recalibrate(network: nn.Module, batches: Iterable[Tensor]) -> None:
    """Replace the running statistics of all norms by the mean over batches, in place; weights stay as they are.

    Args:
        network: Any network; one without running statistics is left alone.
        batches: Inputs of the network, [b, c, h, w] each, of equal b.

    Source: Yu and Huang, Universally Slimmable Networks, ICCV 2019, section 3.3.
    """
    norms = [m for m in network.modules() if isinstance(m, _NormBase) and m.track_running_stats]
    if not norms:
        return
    modes, momenta = {m: m.training for m in network.modules()}, [norm.momentum for norm in norms]
    network.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a cumulative average
        norm.train()
    with torch.no_grad():
        for batch in batches:
            network(batch)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    for module, mode in modes.items():
        module.training = mode
