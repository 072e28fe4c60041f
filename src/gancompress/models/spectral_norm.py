"""Folding spectral norm: the weight that a normed convolution has in evaluation, written down as a plain weight."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

if TYPE_CHECKING:
    from gancompress.models.generator import Generator

# The names of weight, left and right singular vector, behind the layer's path: a parametrization, and the hook that
# PyTorch had before.
_STYLES = (
    ("parametrizations.weight.original", "parametrizations.weight.0._u", "parametrizations.weight.0._v"),
    ("weight_orig", "weight_u", "weight_v"),
)


def fold_spectral_norm(generator: Generator) -> Generator:
    """Return the same network, as it is in evaluation, without spectral norm.

    Args:
        generator: A network of a family with the option ``spectral_norm``; without that norm it stays as it is.
    """
    if not generator.architecture.options.get("spectral_norm"):
        return generator
    plain = generator.architecture.with_options(spectral_norm=False)
    return replace(generator, architecture=plain, state=fold_state(generator.state))


def fold_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A state dict with every spectrally normed weight as a plain one, ``W / (u W v)``; the rest as it is.

    Args:
        state: Tensors of convolutions and linear layers (output channels first) with ``weight_orig``, ``weight_u``
            and ``weight_v``, or with a parametrization. Files from before PyTorch 1.0 lack v, which then follows
            from u, and hold a ``weight`` as well, which is of an earlier step.
    """
    folded = dict(state)
    for name in state:
        for weight_name, left_name, right_name in _STYLES:
            layer = name.removesuffix(f".{weight_name}")
            if layer == name or f"{layer}.{left_name}" not in state:
                continue
            weight, left = folded.pop(name), folded.pop(f"{layer}.{left_name}")
            right = folded.pop(f"{layer}.{right_name}", None)
            folded[f"{layer}.weight"] = _normed(weight, left, right)
    return folded


@torch.no_grad()
def settle_spectral_norm(network: nn.Module, num_iterations: int = 20) -> None:
    """Estimate the singular vectors of every spectrally normed weight anew, in place, where there are any.

    Averaged weights need it: the average of the vectors of many steps belongs to none of them, and is too short.

    Args:
        network: Any network with spectral norm as a parametrization.
        num_iterations: Steps of the power method, from the vectors that are there.
    """
    modes = {module: module.training for module in network.modules()}
    network.train()
    for module in network.modules():
        if parametrize.is_parametrized(module, "weight"):
            for _ in range(num_iterations):
                _ = module.weight  # each look at it in training is one iteration
    for module, mode in modes.items():
        module.training = mode


def _normed(weight: Tensor, left: Tensor, right: Tensor | None) -> Tensor:
    """Source: Miyato et al., Spectral Normalization, ICLR 2018, eq. 8 and algorithm 1."""
    matrix = weight.flatten(1)
    if right is None:
        right = F.normalize(torch.mv(matrix.t(), left), dim=0, eps=1e-12)
    return weight / torch.dot(left, torch.mv(matrix, right))
