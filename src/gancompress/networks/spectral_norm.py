"""Folding of spectral norm: replaces it by the weight that the layer has in evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

if TYPE_CHECKING:
    from gancompress.networks.generator import Generator

# Names of weight, left and right singular vector, after the layer's path: of the parametrization, and of PyTorch's
# older hook.
_STYLES = (
    ("parametrizations.weight.original", "parametrizations.weight.0._u", "parametrizations.weight.0._v"),
    ("weight_orig", "weight_u", "weight_v"),
)


def fold_spectral_norm(generator: Generator) -> Generator:
    """Return the same network, as in evaluation, without spectral norm.

    Args:
        generator: A network of a family with the option ``spectral_norm``; without spectral norm it is returned
            unchanged.
    """
    if not generator.architecture.options.get("spectral_norm"):
        return generator
    plain = generator.architecture.with_options(spectral_norm=False)
    return replace(generator, architecture=plain, state=fold_state(generator.state))


def fold_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a state dict with every spectrally normed weight folded, ``W / (u W v)``; other tensors are unchanged.

    Args:
        state: Tensors of convolutions and linear layers (output channels first) with ``weight_orig``, ``weight_u`` and
            ``weight_v``, or with a parametrization. Files from before PyTorch 1.0 lack v, which is then computed from
            u, and also hold an outdated ``weight``.
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
    """Estimate the singular vectors of every spectrally normed weight again, in place.

    Averaged weights need it: the average of the vectors over many steps fits none of them, and is too short.

    Args:
        network: Any network with spectral norm as a parametrization.
        num_iterations: Steps of the power method, from the current vectors.
    """
    modes = {module: module.training for module in network.modules()}
    network.train()
    for module in network.modules():
        if parametrize.is_parametrized(module, "weight"):
            for _ in range(num_iterations):
                _ = module.weight  # each access in training is one iteration
    for module, mode in modes.items():
        module.training = mode


def _normed(weight: Tensor, left: Tensor, right: Tensor | None) -> Tensor:
    """Return the weight divided by ``u W v``.

    Source: Miyato et al., Spectral Normalization, ICLR 2018, eq. 8 and algorithm 1.
    """
    matrix = weight.flatten(1)
    if right is None:
        right = F.normalize(torch.mv(matrix.t(), left), dim=0, eps=1e-12)
    return weight / torch.dot(left, torch.mv(matrix, right))
