"""Running statistics of batch norms, computed anew: averages over all calibration batches, nothing of the past."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from gancompress.steps.batches import HeldBatches
from gancompress.steps.step import Context
from gancompress.training import Batch


class Calibration:
    """The first inputs of the training data, over which running statistics are averaged. Read when first needed."""

    def __init__(self, context: Context, num_batches: int) -> None:
        """So many batches, of as many images as metrics take at once; all there are where there are fewer."""

        def make() -> Iterator[Batch]:
            size = context.metrics.batch_size
            for batch in context.images("train", size, num_batches * size):
                yield {"input": batch["input"]}

        self._batches = HeldBatches(make, context.metrics.memory_gib)

    def __iter__(self) -> Iterator[Tensor]:
        """Inputs [b, c, h, w] of each batch."""
        return (batch["input"] for batch in self._batches)


def recalibrate(network: nn.Module, batches: Iterable[Tensor]) -> None:
    """Replace the running statistics of all norms by the mean over batches, in place; weights stay as they are.

    Args:
        network: Any network; one without running statistics is left alone, and no batch is looked at.
        batches: Inputs of the network, [b, c, h, w] each, of equal b.

    Source: Yu and Huang, Universally Slimmable Networks, ICCV 2019, section 3.3.
    """
    norms = [m for m in network.modules() if isinstance(m, _NormBase) and m.track_running_stats]
    if not norms:
        return
    device = norms[0].get_buffer("running_mean").device
    modes, momenta = {m: m.training for m in network.modules()}, [norm.momentum for norm in norms]
    network.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a cumulative average
        norm.train()
    with torch.no_grad():
        for batch in batches:
            network(batch.to(device))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    for module, mode in modes.items():
        module.training = mode
