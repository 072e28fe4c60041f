"""The range of a batch of activations, by three rules."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from gancompress.quantization.grid import affine_grid, fake_quantize
from gancompress.quantization.options import QuantizationOptions, RangeKind

Range = tuple[Tensor, Tensor]

_NUM_SAMPLED_FOR_PERCENTILE = 2**20
_NUM_SAMPLED_FOR_ERROR = 2**16
_NUM_CANDIDATES = 40


def estimate_range(values: Tensor, bits: int, options: QuantizationOptions) -> Range:
    """Lower and upper end, float32 scalars, of the range of a batch.

    Args:
        values: Activations of any shape.
        bits: Bits that they will have.
        options: The rule (``ranges``) and its parameters.
    """
    return _RULES[options.ranges](values.detach().float(), bits, options)


def _minmax(values: Tensor, bits: int, options: QuantizationOptions) -> Range:
    del bits, options
    return torch.aminmax(values)


def _percentile(values: Tensor, bits: int, options: QuantizationOptions) -> Range:
    """Cuts the outermost values off. Source: Krishnamoorthi, arXiv 1806.08342; Wu et al., arXiv 2004.09602."""
    del bits
    share = options.percentile / 100
    ends = values.new_tensor([1 - share, share])
    lower, upper = torch.quantile(_sampled(values, _NUM_SAMPLED_FOR_PERCENTILE), ends)
    return lower, upper


def _mse(values: Tensor, bits: int, options: QuantizationOptions) -> Range:
    """Shrinks both ends by the same factor, down to a twentieth, to the least squared error of rounding and cutting.

    Source: Nagel et al., arXiv 2106.08295, section 3.1.
    """
    del options
    lower, upper = torch.aminmax(values)
    sampled = _sampled(values, _NUM_SAMPLED_FOR_ERROR)
    factors = torch.linspace(0.05, 1, _NUM_CANDIDATES, device=values.device)
    errors = [
        (fake_quantize(sampled, affine_grid(lower * factor, upper * factor, bits)) - sampled).square().mean()
        for factor in factors
    ]
    best = factors[torch.stack(errors).argmin()]
    return lower * best, upper * best


_RULES: dict[RangeKind, Callable[[Tensor, int, QuantizationOptions], Range]] = {
    "minmax": _minmax,
    "percentile": _percentile,
    "mse": _mse,
    "learned": _mse,
}


def _sampled(values: Tensor, limit: int) -> Tensor:
    """Evenly spaced values; the distance is odd, so that no column of an even width is left out."""
    values = values.flatten()
    return values if values.numel() <= limit else values[:: -(-values.numel() // limit) | 1]
