"""Conversion of the layers of any network to quantized ones, and back."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import cast

from torch import nn

from gancompress.errors import ConfigError
from gancompress.quantization.layers import QUANTIZED_CLASS, QuantizedLayer, WeightQuantizer, output_axis
from gancompress.quantization.options import QuantizationOptions
from gancompress.quantization.ranges import activation_quantizer

_FLOAT_CLASS = {quantized: plain for plain, quantized in QUANTIZED_CLASS.items()}
_ADDED_MODULES = ("weight_quantizer", "input_quantizer", "output_quantizer")


def quantizable_layers(network: nn.Module) -> dict[str, nn.Module]:
    """Return the float layers that `quantize` would quantize, by path, in the network's order of declaration."""
    return {path: layer for path, layer in network.named_modules() if type(layer) in QUANTIZED_CLASS}


def quantized_layers(network: nn.Module) -> dict[str, QuantizedLayer]:
    """Return the quantized layers of a network, by path, in the order in which it declares them."""
    return {path: layer for path, layer in network.named_modules() if isinstance(layer, QuantizedLayer)}


def quantize(network: nn.Module, options: QuantizationOptions) -> nn.Module:
    """Quantize the convolutions and linear layers of a network, in place.

    The weights keep their names and stay float; each forward pass rounds them, with straight-through gradients, so
    training continues as before. The quantizers of activations add tensors ``LAYER.input_quantizer.*`` to the state
    dict. Their ranges come from training or from `calibrate`. Sums, norms and the last activation stay float: around
    instance norms runtimes compute them in float anyway. Ranges are not bounded below by 0.

    Channels are followed in float networks only: trace before quantizing. The ``structure`` of a
    `gancompress.channels.SubNetwork` can be quantized like any network.

    Args:
        network: A float network in eager mode.
        options: Layers and bits to quantize.

    Returns:
        The same network.

    Raises:
        ConfigError: The network is quantized already, has no layer that can be quantized, or lacks a layer that the
            options name.
    """
    if quantized_layers(network):
        raise ConfigError("quantize: the network is quantized already; remove_quantization first")
    layers = quantizable_layers(network)
    if not layers:
        known = ", ".join(kind.__name__ for kind in QUANTIZED_CLASS)
        raise ConfigError(f"quantize: {type(network).__name__} has none of the layers that can be quantized ({known})")
    first = next(iter(layers))
    for path, bits in options.bits_of(list(layers)).items():
        if bits is not None:
            _quantize_layer(layers[path], path, bits, options, quantize_input=options.image or path != first)
    return network


def _quantize_layer(
    layer: nn.Module, path: str, bits: tuple[int, int | None], options: QuantizationOptions, *, quantize_input: bool
) -> None:
    weight_bits, activation_bits = bits
    axis = None if options.fixed_levels else output_axis(layer)
    device = cast(nn.Parameter, layer.weight).device

    def activations(where: str, wanted: bool) -> nn.Module | None:
        if not wanted or activation_bits is None:
            return None
        return activation_quantizer(f"{path}, {where}", activation_bits, options).to(device).train(layer.training)

    _become_quantized(
        layer,
        weight_quantizer=WeightQuantizer(weight_bits, axis),
        input_quantizer=activations("input", quantize_input),
        output_quantizer=activations("output", options.outputs),
    )


def remove_quantization(network: nn.Module) -> nn.Module:
    """Return the float network again, in place: the same parameters under the same names, without quantizers."""
    for layer in quantized_layers(network).values():
        make_float(layer)
    return network


def make_float(layer: QuantizedLayer) -> None:
    """Make one layer float again, in place."""
    for name in _ADDED_MODULES:
        del layer._modules[name]
    del layer.mode
    cast(nn.Module, layer).__class__ = _FLOAT_CLASS[type(layer)]


def carry_quantization(quantized: nn.Module, network: nn.Module, place: Callable[[str], str]) -> nn.Module:
    """Quantize a float network like a quantized network that computes the same, in place, with the same ranges.

    Args:
        quantized: The quantized network; it is not changed.
        network: The float network.
        place: Maps a layer's path in the quantized network to its path in the float one.

    Returns:
        The same network, quantized. Its scales of weights follow from its own weights.
    """
    for path, layer in quantized_layers(quantized).items():
        new = network.get_submodule(place(path))
        added = {name: copy.deepcopy(layer._modules[name]) for name in _ADDED_MODULES}
        bits, axis = layer.weight_quantizer.bits, layer.weight_quantizer.axis
        added["weight_quantizer"] = WeightQuantizer(bits, None if axis is None else output_axis(new))
        _become_quantized(new, **added)
    return network


def quantize_outputs(network: nn.Module, options: QuantizationOptions) -> nn.Module:
    """Add output quantizers to the layers of a quantized network that leave their outputs float, in place.

    Args:
        network: A quantized network.
        options: The rule by which their ranges are found; the ranges are not known yet.

    Returns:
        The same network.
    """
    for path, layer in quantized_layers(network).items():
        if layer.output_quantizer is None and layer.input_quantizer is not None:
            made = activation_quantizer(f"{path}, output", layer.input_quantizer.bits, options)
            cast(nn.Module, layer).register_module("output_quantizer", made.train(cast(nn.Module, layer).training))
    return network


def _become_quantized(layer: nn.Module, **quantizers: nn.Module | None) -> None:
    # The class changes and the module stays, so that its parents, hooks, shared uses and parameter names stay too.
    layer.__class__ = QUANTIZED_CLASS[type(layer)]
    for name in _ADDED_MODULES:
        layer.register_module(name, quantizers[name])
    cast(QuantizedLayer, layer).mode = "quantize"
