"""Reparametrized weights: names of weight norm and spectral norm in state dicts, and their removal.

PyTorch changed the names when it replaced the hooks (``weight_g``, ``weight_orig``) by parametrizations
(``parametrizations.weight.original0``). A file and a class can hold either form, or plain weights.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize, remove_spectral_norm, remove_weight_norm
from torch.nn.utils.spectral_norm import SpectralNorm, SpectralNormLoadStateDictPreHook
from torch.nn.utils.weight_norm import WeightNorm

from gancompress.networks.layout import RUNNING_STATISTICS

_OTHER_NAMES = tuple(
    (re.compile(pattern), other)
    for hook, parametrization in (
        ("g", "original0"),
        ("v", "original1"),
        ("orig", "original"),
        ("u", "0._u"),
        ("v", "0._v"),
    )
    for pattern, other in (
        (rf"([^.]+)_{hook}$", rf"parametrizations.\1.{parametrization}"),
        (rf"parametrizations\.([^.]+)\.{re.escape(parametrization)}$", rf"\1_{hook}"),
    )
)
"""Pattern of a name, and the same tensor's name in the other form."""

_WEIGHT_NORMS = (("{}_g", "{}_v"), ("parametrizations.{}.original0", "parametrizations.{}.original1"))
SPECTRAL_NORMS = (
    ("{}_orig", "{}_u", "{}_v"),
    ("parametrizations.{}.original", "parametrizations.{}.0._u", "parametrizations.{}.0._v"),
)
"""Names of weight, left and right singular vector, of the hook and of the parametrization."""

_COUNTED = ("total_ops", "total_params")
"""Buffers that thop adds to every layer."""


def settled(state: Mapping[str, Tensor], expected: Collection[str]) -> dict[str, Tensor]:
    """Return a state dict under the names that a network expects; its function does not change.

    Weight norm and spectral norm take the form that the network has, or are folded if it has plain weights. Statistics
    that older instance norms wrote, and counters of profilers, are left out; missing counters of batch norms are added.

    Args:
        state: Tensors by name, as in a file.
        expected: Names of the network's tensors.
    """
    found = _in_form(dict(state), expected)
    stale = {name for name in found if name.endswith((*RUNNING_STATISTICS, *_COUNTED)) and name not in expected}
    counters = {
        name: torch.tensor(0)
        for name in expected
        if name.endswith("num_batches_tracked") and f"{name.rpartition('.')[0]}.running_mean".lstrip(".") in found
    }
    return counters | {name: tensor for name, tensor in found.items() if name not in stale}


def _in_form(state: dict[str, Tensor], expected: Collection[str]) -> dict[str, Tensor]:
    for missing in [name for name in expected if name not in state]:
        others = [pattern.sub(other, missing) for pattern, other in _OTHER_NAMES if pattern.search(missing)]
        other = next((name for name in others if name in state and name not in expected), None)
        if other is not None:
            state[missing] = state.pop(other)
        else:
            _fold(state, missing, _WEIGHT_NORMS, _without_weight_norm)
            _fold(state, missing, SPECTRAL_NORMS, _without_spectral_norm)
    return state


def _fold(
    state: dict[str, Tensor],
    missing: str,
    forms: tuple[tuple[str, ...], ...],
    folded: Callable[..., Tensor | None],
) -> None:
    """Compute a missing plain weight from its reparametrized form, if the state has that."""
    layer, dot, weight = missing.rpartition(".")
    for form in forms:
        names = [f"{layer}{dot}{name.format(weight)}" for name in form]
        if names[0] in state and names[1] in state:
            made = folded(state[names[0]], state[names[1]], *(state.get(name) for name in names[2:]))
            if made is not None:
                state[missing] = made
                for name in names:
                    state.pop(name, None)


def _without_weight_norm(length: Tensor, direction: Tensor) -> Tensor | None:
    """Return the weight ``g v / |v|``; None if the shapes are not those of weight norm.

    Source: Salimans and Kingma, Weight Normalization, NeurIPS 2016, eq. 2.
    """
    if length.ndim not in (0, direction.ndim):
        return None
    axes = [axis for axis in range(length.ndim) if length.shape[axis] == 1]
    if any(length.shape[axis] not in (1, direction.shape[axis]) for axis in range(length.ndim)):
        return None
    if length.ndim == 0 or len(axes) == length.ndim:
        return direction * (length / torch.linalg.vector_norm(direction))
    return direction * (length / torch.linalg.vector_norm(direction, dim=axes, keepdim=True))


def _without_spectral_norm(weight: Tensor, left: Tensor, right: Tensor | None) -> Tensor | None:
    return normed(weight, left, right) if left.ndim == 1 and left.shape[0] == weight.shape[0] else None


def normed(weight: Tensor, left: Tensor, right: Tensor | None) -> Tensor:
    """Return the weight divided by ``u W v``, output channels first; without v it is computed from u.

    Source: Miyato et al., Spectral Normalization, ICLR 2018, eq. 8 and algorithm 1.
    """
    matrix = weight.flatten(1)
    if right is None:
        right = F.normalize(torch.mv(matrix.t(), left), dim=0, eps=1e-12)
    return weight / torch.dot(left, torch.mv(matrix, right))


def fold_reparametrizations(network: nn.Module) -> tuple[str, ...]:
    """Replace weights that every call computes from others by their values in evaluation, in place.

    Returns:
        Paths of the layers: those with parametrizations, and those with the older hooks of weight and spectral norm.
    """
    found = reparametrized_layers(network)
    for path in found:
        layer = network.get_submodule(path)
        for hook in _hooks(layer):
            remove = remove_weight_norm if isinstance(hook, WeightNorm) else remove_spectral_norm
            remove(layer, hook.name)
        for key, hook in list(layer._load_state_dict_pre_hooks.items()):  # PyTorch leaves that of spectral norm behind
            if isinstance(getattr(hook, "hook", hook), SpectralNormLoadStateDictPreHook):
                del layer._load_state_dict_pre_hooks[key]
        if parametrize.is_parametrized(layer):
            network.set_submodule(path, _plain(layer))
    return found


def reparametrized_layers(network: nn.Module) -> tuple[str, ...]:
    """Return the paths of the layers whose weights every call computes from others."""
    return tuple(
        path
        for path, layer in network.named_modules()
        if (parametrize.is_parametrized(layer) and not isinstance(layer, parametrize.ParametrizationList))
        or _hooks(layer)
    )


def _plain(layer: nn.Module) -> nn.Module:
    """Return the layer without parametrizations. PyTorch would change the class, which copies of the layer share."""
    plain: nn.Module = object.__new__(parametrize.type_before_parametrizations(layer))
    plain.__dict__ = dict(layer.__dict__)
    names = list(layer.parametrizations)  # type: ignore[arg-type]
    plain._modules = {name: part for name, part in layer._modules.items() if name != "parametrizations"}
    training = layer.training
    computed = {name: nn.Parameter(getattr(layer.eval(), name).detach()) for name in names}
    layer.train(training)
    plain._parameters = {**layer._parameters, **computed}
    return plain


def _hooks(layer: nn.Module) -> list[WeightNorm | SpectralNorm]:
    """Return the older hooks of weight and spectral norm."""
    return [hook for hook in layer._forward_pre_hooks.values() if isinstance(hook, WeightNorm | SpectralNorm)]
