"""SPADE generators: NVlabs' SPADE, and GAN Compression (full, mobile, sub, super).

Spectral norm is folded into the weights. A file does not tell how often the start map is doubled where the answer is
5 or 6 times: Cityscapes, known by its 36 input channels, is taken for 6 (``more``), everything else for 5
(``normal``). The tensors are the same, so that the option ``upsampling`` can be set to the other afterwards.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from torch import Tensor

from gancompress.models.importers.layout import Layout, dimension, own_names, tensor_names
from gancompress.models.spade import SpadeConfig
from gancompress.models.spectral_norm import fold_state
from gancompress.models.state import Shapes

_NORM = re.compile(r"(\w+\.norm_[01s])\.mlp_shared\.0\.weight")
_STATISTIC = re.compile(r"(\w+\.norm_[01s])\.param_free_norm\.running_(?:mean|var)")
_CITYSCAPES_CHANNELS = 36


def _infer(shapes: Shapes) -> SpadeConfig:
    in_channels = dimension(shapes, "fc.weight", 1, default=_CITYSCAPES_CHANNELS)
    usual = "more" if in_channels == _CITYSCAPES_CHANNELS else "normal"
    return SpadeConfig(
        in_channels=in_channels,
        out_channels=dimension(shapes, "conv_img.weight", 0, default=3),
        upsampling="most" if "up_4.conv_0.weight" in shapes else usual,
        separable=any(".depthwise." in name for name in shapes),
        norm="batch" if "head_0.norm_0.norm.running_mean" in shapes else "instance",
        inner_norm="batch" if "head_0.norm_0.gamma.norm.weight" in shapes else "instance",
    )


def _published_names(names: Collection[str]) -> dict[str, str]:
    """``fc``, ``conv_img``, and blocks whose norms hold ``param_free_norm``, ``mlp_shared``, ``mlp_gamma``,
    ``mlp_beta``."""
    norms = [found[1] for name in names if (found := _NORM.fullmatch(name))]
    if not norms:
        return {}
    modules = {"fc": "fc", "conv_img": "conv_img"}
    for block in dict.fromkeys(norm.partition(".")[0] for norm in norms):
        modules |= {f"{block}.{conv}": f"{block}.{conv}" for conv in ("conv_0", "conv_1", "conv_s")}
    for norm in norms:
        modules |= {f"{norm}.param_free_norm": f"{norm}.norm", f"{norm}.mlp_shared.0": f"{norm}.shared.conv"}
        for made in ("gamma", "beta"):
            parts = {"": "", ".conv.0": ".depthwise", ".conv.1": ".norm", ".conv.2": ".pointwise"}
            modules |= {f"{norm}.mlp_{made}{theirs}": f"{norm}.{made}{ours}" for theirs, ours in parts.items()}
    return tensor_names(modules)


def _prepare_published(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Folded, and running statistics cut to the channels there are: a sub-network has those of the supernet, of which
    the leading ones are its own."""
    folded = fold_state(tensors)
    for name, tensor in folded.items():
        if found := _STATISTIC.fullmatch(name):
            scales = (folded.get(f"{found[1]}.mlp_gamma{part}.weight") for part in ("", ".conv.2"))
            folded[name] = next((tensor[: scale.shape[0]] for scale in scales if scale is not None), tensor)
    return folded


LAYOUTS = (
    Layout("gancompress", SpadeConfig, own_names, _infer, fold_state),
    Layout("SPADE or GAN Compression", SpadeConfig, _published_names, _infer, _prepare_published),
)
