"""Recalibration of the running statistics of batch norms."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from gancompress.cost.measured import evaluation_mode
from gancompress.errors import DataError
from gancompress.methods.data import Data, inputs_of
from gancompress.networks.given import call


class _Pooled:
    """Mean and variance over all inputs of one batch norm, which normalises batch by batch meanwhile.

    The norm stays in evaluation mode, with the statistics of the batch as its running ones: so a synchronised norm
    never waits for other processes.
    """

    def __init__(self, norm: _BatchNorm) -> None:
        self.norm, self._count = norm, 0
        self._mean, self._squares = (torch.zeros_like(norm.get_buffer("running_mean"), dtype=torch.float64),) * 2

    def __call__(self, norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        """Update the statistics, before the norm runs.

        Source: Chan et al., Updating Formulae and a Pairwise Algorithm for Computing Sample Variances, 1979, eq. 2.1.
        """
        values = inputs[0].double().transpose(0, 1).flatten(1)
        count = values.shape[1]
        variance, mean = torch.var_mean(values, 1, correction=0)
        self._set(mean, variance)
        total, difference = self._count + count, mean - self._mean
        self._squares = self._squares + variance * count + difference.square() * (self._count * count / total)
        self._mean, self._count = self._mean + difference * (count / total), total

    def finish(self) -> None:
        """Write the final statistics into the norm, with unbiased variance as in training."""
        if self._count:
            self._set(self._mean, self._squares / max(1, self._count - 1))
            self.norm.get_buffer("num_batches_tracked").fill_(1)

    def _set(self, mean: Tensor, variance: Tensor) -> None:
        self.norm.get_buffer("running_mean").copy_(mean)
        self.norm.get_buffer("running_var").copy_(variance)


def recalibrate(network: nn.Module, batches: Data, *, num_images: int | None = None) -> None:
    """Replace the running statistics of all batch norms by those of all batches, in place; weights do not change.

    A norm gets the mean and the variance of all its inputs, as if they had come in one batch.

    Args:
        network: Any network, also with synchronised norms; norms without running statistics or with frozen ones
            (momentum 0) do not change, and if there are no others no batch is read.
        batches: Inputs of the network.
        num_images: Images to use; fewer if the batches have fewer. All by default.

    Raises:
        DataError: There are no batches, or one is of an unknown kind.

    Source: Yu and Huang, Universally Slimmable Networks, ICCV 2019, section 3.3.
    """
    norms = [m for m in network.modules() if isinstance(m, _BatchNorm) and m.track_running_stats and m.momentum != 0]
    if not norms:
        return
    device, number = norms[0].get_buffer("running_mean").device, 0
    pooled = [_Pooled(norm) for norm in norms]
    handles = [each.norm.register_forward_pre_hook(each) for each in pooled]
    try:
        with evaluation_mode(network), torch.no_grad():
            for batch in inputs_of(batches, num_images):
                call(network, batch.to(device))
                number += len(batch)
    finally:
        for handle in handles:
            handle.remove()
    if not number:
        raise DataError("recalibrate: got no batch, expected at least one; check the data set and its batch size")
    for each in pooled:
        each.finish()
