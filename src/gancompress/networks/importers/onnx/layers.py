"""ONNX operators with weights."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from gancompress.networks.importers.onnx.node import Node, Rule, Translation, Untranslatable


def _path(node: Node, weight: str) -> str:
    """Return the wanted path of a layer: that of its weight in the network that was exported, or of its module."""
    path, dot, leaf = weight.rpartition(".")
    if dot and leaf in ("weight", "slope"):
        return path
    module, slash, _ = node.name.rpartition("/")  # of names such as /body/body.0/MatMul_1
    return module if slash and module else node.name or f"{node.operator}_{node.outputs[0]}"


def _pads(node: Node, rank: int, strides: list[int], kernel: list[int], dilations: list[int]) -> list[int]:
    """Return begins and ends; automatic ones are those of sides that the stride divides."""
    automatic = node.get("auto_pad", "NOTSET")
    if automatic in ("NOTSET", "VALID"):
        return list(node.get("pads", [0] * 2 * rank)) if automatic == "NOTSET" else [0] * 2 * rank
    totals = [max(0, d * (k - 1) + 1 - s) for k, s, d in zip(kernel, strides, dilations, strict=True)]
    small, large = [total // 2 for total in totals], [total - total // 2 for total in totals]
    return [*small, *large] if automatic == "SAME_UPPER" else [*large, *small]


def _convolution(t: Translation, node: Node) -> None:
    weight, bias = t.weight(node.input(1)), t.weight(node.input(2))
    assert weight is not None
    rank, transposed, groups = weight.ndim - 2, node.operator == "ConvTranspose", int(node.get("group", 1))
    strides, dilations = list(node.get("strides", [1] * rank)), list(node.get("dilations", [1] * rank))
    pads = _pads(node, rank, strides, list(weight.shape[2:]), dilations)
    begins, ends = pads[:rank], pads[rank:]
    source, made, cropped = node.input(0), node.outputs[0], begins != ends
    arguments: dict[str, Any] = {
        "in_channels": weight.shape[0] if transposed else weight.shape[1] * groups,
        "out_channels": weight.shape[1] * groups if transposed else weight.shape[0],
        "kernel_size": list(weight.shape[2:]),
        "stride": strides,
        "padding": [0] * rank if cropped else begins,
        "dilation": dilations,
        "groups": groups,
        "bias": bias is not None,
    }
    if transposed:
        if "output_shape" in node.attributes or (node.get("auto_pad", "NOTSET") not in ("NOTSET", "VALID")):
            raise Untranslatable("ConvTranspose with output_shape or auto_pad")
        arguments["output_padding"] = list(node.get("output_padding", [0] * rank))
    elif cropped:
        t.builder.operator("pad", [source, {"value": [0, 0, *begins, 0, 0, *ends]}], [f"{made}:padded"])
        source = f"{made}:padded"
    whole = f"{made}:whole" if transposed and cropped else made
    kind = f"Conv{'Transpose' if transposed else ''}{rank}d"
    t.builder.layer(_path(node, node.input(1)), kind, arguments, {"weight": weight, "bias": bias}, (source, whole))
    if whole != made:
        axes = list(range(2, 2 + rank))
        limits = [-end if end else 2**62 for end in ends]
        t.builder.operator("slice", [whole, {"value": begins}, {"value": limits}, {"value": axes}], [made])


def _batch_norm(t: Translation, node: Node) -> None:
    weight, bias, mean, variance = (t.weight(node.input(i)) for i in range(1, 5))
    assert weight is not None
    rank = t.rank(node.input(0)) - 2
    if rank not in (0, 1, 2, 3):
        raise Untranslatable(f"BatchNormalization of {rank + 2} axes")
    weights = {"weight": weight, "bias": bias, "running_mean": mean, "running_var": variance}
    arguments = {"num_features": weight.shape[0], "eps": float(node.get("epsilon", 1e-5))}
    kind = f"BatchNorm{max(rank, 1)}d"
    t.builder.layer(_path(node, node.input(1)), kind, arguments, weights, (node.input(0), node.outputs[0]))


def _affine(weight: Tensor | None, bias: Tensor | None) -> dict[str, Tensor | None]:
    """Return weight and bias of a norm; none if they change nothing, as of a norm without them."""
    plain = (weight is None or bool((weight == 1).all())) and (bias is None or bool((bias == 0).all()))
    return {} if plain else {"weight": weight, "bias": bias}


def _instance_norm(t: Translation, node: Node) -> None:
    weight, bias = t.weight(node.input(1)), t.weight(node.input(2))
    assert weight is not None
    weights, rank = _affine(weight, bias), t.rank(node.input(0)) - 2
    arguments = {
        "num_features": weight.shape[0],
        "eps": float(node.get("epsilon", 1e-5)),
        "affine": bool(weights),
    }
    if rank not in (1, 2, 3):
        raise Untranslatable(f"InstanceNormalization of {rank + 2} axes")
    path = _path(node, node.input(1))
    t.builder.layer(path, f"InstanceNorm{rank}d", arguments, weights, (node.input(0), node.outputs[0]))


def _group_norm(t: Translation, node: Node) -> None:
    weight, bias, groups = t.weight(node.input(1)), t.weight(node.input(2)), int(node.get("num_groups"))
    assert weight is not None
    assert bias is not None
    channels = weight.numel()
    if t.version < 21 and "channels" not in node.attributes:  # one value for each group
        channels = (*t.shapes.get(node.input(0), ()), None, None)[1]
        if channels is None:
            raise Untranslatable("GroupNormalization of unknown channels")
        weight, bias = (each.repeat_interleave(channels // groups) for each in (weight, bias))
    weights = _affine(weight.flatten(), bias.flatten())
    arguments = {"num_groups": groups, "num_channels": channels, "eps": float(node.get("epsilon", 1e-5))}
    arguments["affine"] = bool(weights)
    t.builder.layer(_path(node, node.input(1)), "GroupNorm", arguments, weights, (node.input(0), node.outputs[0]))


def _layer_norm(t: Translation, node: Node) -> None:
    weight, bias = t.weight(node.input(1)), t.weight(node.input(2))
    assert weight is not None
    arguments = {
        "normalized_shape": list(weight.shape),
        "eps": float(node.get("epsilon", 1e-5)),
        "bias": bias is not None,
    }
    weights = {"weight": weight, "bias": bias}
    t.builder.layer(_path(node, node.input(1)), "LayerNorm", arguments, weights, (node.input(0), node.outputs[0]))


def _prelu(t: Translation, node: Node) -> None:
    slope = t.weight(node.input(1))
    assert slope is not None
    if slope.numel() != max(slope.shape, default=1):
        raise Untranslatable("PRelu with slopes that are not one for each channel")
    weights, arguments = {"weight": slope.flatten()}, {"num_parameters": slope.numel()}
    t.builder.layer(_path(node, node.input(1)), "PReLU", arguments, weights, (node.input(0), node.outputs[0]))


def _linear(t: Translation, node: Node, weight: Tensor, bias: Tensor | None, name: str) -> None:
    arguments = {"in_features": weight.shape[1], "out_features": weight.shape[0], "bias": bias is not None}
    weights = {"weight": weight.contiguous(), "bias": bias}
    t.builder.layer(_path(node, name), "Linear", arguments, weights, (node.input(0), node.outputs[0]))


def _gemm(t: Translation, node: Node) -> None:
    if node.get("transA", 0) or node.input(1) not in t.builder.known:
        raise Untranslatable("Gemm of two values that the network computes")
    weight, bias = t.weight(node.input(1)), t.weight(node.input(2))
    assert weight is not None
    weight = weight * float(node.get("alpha", 1.0))
    bias = None if bias is None else bias * float(node.get("beta", 1.0))
    weight = weight if node.get("transB", 0) else weight.t()
    _linear(t, node, weight, None if bias is None else bias.expand(weight.shape[0]), node.input(1))


def _matmul(t: Translation, node: Node) -> None:
    weight = t.builder.known.get(node.input(1))
    if isinstance(weight, Tensor) and weight.ndim == 2 and node.input(0) not in t.builder.known:
        bias = None if node.get("bias") is None else torch.as_tensor(node.get("bias"))
        _linear(t, node, weight.float().t(), bias, node.input(1))
    else:
        t.add("matmul", node)


LAYER_RULES: dict[str, Rule] = {
    "Conv": _convolution,
    "ConvTranspose": _convolution,
    "BatchNormalization": _batch_norm,
    "InstanceNormalization": _instance_norm,
    "GroupNormalization": _group_norm,
    "LayerNormalization": _layer_norm,
    "PRelu": _prelu,
    "Gemm": _gemm,
    "MatMul": _matmul,
}
"""Rules by ONNX operator."""
