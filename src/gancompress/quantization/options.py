"""Options of quantization: the layers to quantize, their bits, and the source of activation ranges."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from gancompress.errors import ConfigError, nearest
from gancompress.options import Options

Bits = Annotated[int, Field(ge=2, le=16)]
RangeKind = Literal["minmax", "percentile", "mse", "learned"]

FIRST, LAST = "<first>", "<last>"


class QuantizationOptions(Options):
    """Quantization of a network. Biases, norms and activations between norm and sum always stay float.

    Attributes:
        scheme: ``affine``: weights symmetric, one scale per output channel; activations affine, one grid per tensor.
            ``gan_slimming``: the levels of that paper exactly, see `GanSlimmingRange`; the other options but
            ``layer_bits`` must be left as they are.
        weight_bits: Bits of a weight.
        activation_bits: Bits of an activation where it enters a layer; None leaves activations float.
        ranges: Source of the range of an activation: ``mse`` (the range of least squared error), ``minmax`` (the
            cheapest while training) and ``percentile`` are observed; ``learned`` starts at ``mse`` and is trained with
            the network (LSQ+).
        percentile: For ``percentile``: the share of values below the upper end and above the lower one, in percent.
        momentum: Weight of the newest batch in the moving average of observed ranges while training.
        image: Whether the input of the first layer, in the order in which the network declares them, is quantized. An
            image of 8 bits in [-1, 1] fits no 8-bit grid on which 0 is exact: all its values lie halfway between two
            steps.
        outputs: Whether the outputs of layers are quantized too. onnxruntime needs it to compute in integers; it costs
            quality where a norm follows.
        layer_bits: Exceptions, by path of a layer: other bits for its weights and activations, or ``float``. ``*``
            stands for any text, ``<first>`` and ``<last>`` for those layers, in the order in which the network
            declares them. Of several that fit, the first counts.
    """

    scheme: Literal["affine", "gan_slimming"] = "affine"
    weight_bits: Bits = 8
    activation_bits: Bits | None = 8
    ranges: RangeKind = "mse"
    percentile: Annotated[float, Field(gt=50, le=100)] = 99.99
    momentum: Annotated[float, Field(gt=0, le=1)] = 0.1
    image: bool = False
    outputs: bool = False
    layer_bits: Mapping[str, Bits | Literal["float"]] = {}

    @property
    def fixed_levels(self) -> bool:
        """True if the scheme fixes the levels: 8 bits, and one scale for each tensor."""
        return self.scheme == "gan_slimming"

    @model_validator(mode="after")
    def _paper_is_fixed(self) -> Self:
        if self.fixed_levels:
            changed = [
                name
                for name, field in type(self).model_fields.items()
                if name not in ("scheme", "layer_bits") and getattr(self, name) != field.default
            ]
            changed += [f"layer_bits.{name}" for name, bits in self.layer_bits.items() if bits != "float"]
            if changed:
                raise ValueError(f"scheme {self.scheme} fixes {changed[0]}; remove it, or take scheme affine")
        return self

    def bits_of(self, layers: Sequence[str]) -> dict[str, tuple[int, int | None] | None]:
        """Return (weight bits, activation bits) of each layer; None for one that stays float.

        Args:
            layers: Paths of the layers that can be quantized, in the order in which the network declares them.

        Raises:
            ConfigError: ``layer_bits`` names no such layer.
        """
        exceptions = {_pattern(name, layers): bits for name, bits in self.layer_bits.items()}
        for pattern in exceptions:
            if not any(fnmatchcase(layer, pattern) for layer in layers):
                raise ConfigError(f"layer_bits: no layer '{pattern}' that can be quantized; {nearest(pattern, layers)}")
        result: dict[str, tuple[int, int | None] | None] = {}
        for layer in layers:
            bits = next((bits for pattern, bits in exceptions.items() if fnmatchcase(layer, pattern)), None)
            if bits is None:
                result[layer] = self.weight_bits, self.activation_bits
            elif isinstance(bits, int):
                result[layer] = bits, None if self.activation_bits is None else bits
            else:
                result[layer] = None
        return result


def check_layers_stay(options: QuantizationOptions, layers: Sequence[str], stays: Callable[[str], bool]) -> None:
    """Check that the bits of layers that stay do not depend on others that may be removed.

    Args:
        options: The options.
        layers: Paths of the layers that can be quantized, in the order in which the network declares them.
        stays: Returns whether a layer stays.

    Raises:
        ConfigError: ``layer_bits`` names only layers that may be removed, or the first layer is one.
    """
    staying = [layer for layer in layers if stays(layer)]
    if staying[:1] != layers[:1]:
        raise ConfigError(f"quantization: got the first layer '{layers[0]}' in a block that may be left out; {_STAY}")
    try:
        options.bits_of(staying)
    except ConfigError as error:
        raise ConfigError(f"quantization: {error}, because blocks with others may be left out; {_STAY}") from None


_STAY = "expected layers that stay; change layer_bits, or leave depth out"

FLOAT = QuantizationOptions(layer_bits={"*": "float"})
"""Options that quantize nothing."""


def _pattern(name: str, layers: Sequence[str]) -> str:
    return {FIRST: layers[0], LAST: layers[-1]}.get(name, name)
