"""Range of a batch of activations, by three rules."""

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
    """Return the lower and upper end of the range of a batch, float32 scalars.

    Args:
        values: Activations of any shape.
        bits: Bits of an activation.
        options: The rule (``ranges``) and its parameters.
    """
    return _RULES[options.ranges](values.detach().float(), bits, options)


def _minmax(values: Tensor, bits: int, options: QuantizationOptions) -> Range:
    del bits, options
    return torch.aminmax(values)


def _percentile(values: Tensor, bits: int, options: QuantizationOptions) -> Range:
    """Cut the outermost values off. Source: Krishnamoorthi, arXiv 1806.08342; Wu et al., arXiv 2004.09602."""
    del bits
    share = options.percentile / 100
    ends = values.new_tensor([1 - share, share])
    lower, upper = torch.quantile(_sampled(values, _NUM_SAMPLED_FOR_PERCENTILE), ends)
    return lower, upper


def _mse(values: Tensor, bits: int, options: QuantizationOptions) -> Range:
    """Shrink both ends by one factor, at most twentyfold, to minimise the squared error of rounding and clipping.

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
    """Return evenly spaced values; the step is odd, so that every column of an even width is sampled."""
    values = values.flatten()
    return values if values.numel() <= limit else values[:: -(-values.numel() // limit) | 1]
