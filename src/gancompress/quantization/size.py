"""Size in bytes of a quantized network as a closed form over the channel graph, for budgets in bytes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gancompress.channels import ChannelGraph, ChannelPlan, Extent
from gancompress.quantization.layers import QUANTIZED_CLASS
from gancompress.quantization.options import QuantizationOptions

_FLOAT_BYTES = 4
_LAYERS = {kind.__name__ for kind in QUANTIZED_CLASS}
_TRANSPOSED = {name for name in _LAYERS if "Transpose" in name}


class QuantizedSize:
    """Bytes of the weights of any plan: quantized ones at their bits, all others at 32 bits.

    Weights count packed, ``ceil(bits * number / 8)``, with 4 bytes for each scale; biases, norm parameters and
    running statistics count 4 bytes each. Weights of less than 8 bits are packed here only: the exported file keeps
    them in 8, and those of 9 to 15 bits in 16.

    Example:
        >>> size = QuantizedSize(graph, QuantizationOptions())
        >>> widest_plan(graph, size.at, 1_000_000, unit="bytes")
    """

    def __init__(self, graph: ChannelGraph, options: QuantizationOptions) -> None:
        """Read the tensors off a graph.

        Args:
            graph: The graph of the float network.
            options: Layers and bits that are quantized.

        Raises:
            ConfigError: The options name a layer that the network does not have.
        """
        self._tensors = tuple(_tensors(graph, options))

    def at(self, plan: ChannelPlan) -> int:
        """Return the bytes at a plan."""
        return sum(tensor.bytes_at(plan) for tensor in self._tensors if plan.holds(tensor.name))


def weight_bytes(graph: ChannelGraph, plan: ChannelPlan, bits: int) -> int:
    """Return the bytes at a plan with every convolution and linear layer at the same bits; see `QuantizedSize`."""
    return QuantizedSize(graph, QuantizationOptions(weight_bits=bits)).at(plan)


@dataclass(frozen=True)
class _Tensor:
    name: str
    extents: tuple[Extent, ...]
    bits: int = 8 * _FLOAT_BYTES
    scales: Extent | None = None

    def bytes_at(self, plan: ChannelPlan) -> int:
        number = 1
        for extent in self.extents:
            number *= extent.at(plan.widths)
        num_scales = self.scales.at(plan.widths) if self.scales else 0
        return -(-number * self.bits // 8) + _FLOAT_BYTES * num_scales


def _tensors(graph: ChannelGraph, options: QuantizationOptions) -> Iterator[_Tensor]:
    weights = {
        f"{path}.weight".removeprefix("."): path
        for path, kind in graph.module_types.items()
        if kind in _LAYERS and f"{path}.weight".removeprefix(".") in graph.tensors
    }
    bits_of = options.bits_of(list(weights.values())) if weights else {}
    for name, axes in graph.tensors.items():
        if name not in graph.parameters and all(axis.role != "statistic" for axis in axes):
            continue  # such as the number of batches that a norm has seen
        extents = tuple(axis.extent for axis in axes)
        bits = bits_of[weights[name]] if name in weights else None
        if bits is None:
            yield _Tensor(name, extents)
            continue
        transposed = graph.module_types[weights[name]] in _TRANSPOSED and axes[0].role != "depthwise"
        yield _Tensor(name, extents, bits[0], Extent(1) if options.fixed_levels else extents[1 if transposed else 0])
