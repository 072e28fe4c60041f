"""Rewrites that fold norms, constant in evaluation, into the weights before them."""

from __future__ import annotations

from typing import Any, cast

from torch import fx, nn
from torch.nn.utils import parametrize
from torch.nn.utils.fusion import fuse_conv_bn_eval

from gancompress.deploy.rewrites.rewrite import Change
from gancompress.networks.layers import FrozenNorm


def folded_spectral_norms(network: nn.Module) -> Change:
    """Replace weights that every call computes (spectral norm and other parametrizations) by their values."""
    layers = {
        path: layer
        for path, layer in network.named_modules()
        if parametrize.is_parametrized(layer) and not isinstance(layer, parametrize.ParametrizationList)
    }
    for path, layer in layers.items():
        network.set_submodule(path, _plain(layer))
    return Change("folded_spectral_norms", tuple(layers))


def _plain(layer: nn.Module) -> nn.Module:
    """Return the layer without parametrizations. PyTorch would change the class, which copies of the layer share."""
    plain: nn.Module = object.__new__(parametrize.type_before_parametrizations(layer))
    plain.__dict__ = dict(layer.__dict__)
    names = list(layer.parametrizations)  # type: ignore[arg-type]
    plain._modules = {name: part for name, part in layer._modules.items() if name != "parametrizations"}
    computed = {name: nn.Parameter(getattr(layer, name).detach()) for name in names}
    plain._parameters = {**layer._parameters, **computed}
    return plain


def folded_batch_norms(network: nn.Module) -> Change:
    """Fold batch norms and frozen norms into the convolution that feeds them alone.

    Symbolic tracing of the code finds the order of layers; a network whose code cannot be traced is left unchanged, and
    the note states the reason.
    """
    if not any(isinstance(layer, nn.BatchNorm2d) for layer in network.modules()):
        return Change("folded_batch_norms", ())
    try:
        graph = _Layers().trace(network)
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        return Change("folded_batch_norms", (), f"{type(network).__name__} cannot be traced: {reason}")
    folded = []
    modules = dict(network.named_modules())
    calls = [str(node.target) for node in graph.nodes if node.op == "call_module"]
    for node in graph.nodes:
        before = node.args[0] if node.args else None
        if node.op != "call_module" or not isinstance(before, fx.Node) or before.op != "call_module":
            continue
        norm, conv = modules[str(node.target)], modules[str(before.target)]
        once = calls.count(str(node.target)) == calls.count(str(before.target)) == len(before.users) == 1
        if once and _foldable(conv, norm):
            fused = fuse_conv_bn_eval(cast(Any, conv), cast(Any, norm), isinstance(conv, nn.ConvTranspose2d))
            network.set_submodule(str(before.target), fused)
            network.set_submodule(str(node.target), nn.Identity())
            folded.append(str(node.target))
    return Change("folded_batch_norms", tuple(folded))


def _foldable(conv: nn.Module, norm: nn.Module) -> bool:
    constant = isinstance(norm, nn.BatchNorm2d) and not norm.training and norm.track_running_stats
    constant = constant and type(norm) in (nn.BatchNorm2d, FrozenNorm)
    dense = type(conv) is nn.Conv2d or (type(conv) is nn.ConvTranspose2d and conv.groups == 1)
    return constant and dense and not parametrize.is_parametrized(conv)


class _Layers(fx.Tracer):
    """Tracer that treats the layers of PyTorch, and frozen norms, as leaves, and traces through everything else."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        plain = m.__module__.startswith("torch.") and not isinstance(m, nn.Sequential)
        return plain or isinstance(m, FrozenNorm)
