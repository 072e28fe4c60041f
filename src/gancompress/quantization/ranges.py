"""Activation quantizers: learned, observed and fixed ranges."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from gancompress.errors import ConfigError
from gancompress.quantization.estimates import Range, estimate_range
from gancompress.quantization.grid import SMALLEST_SCALE, Grid, affine_grid, fake_quantize
from gancompress.quantization.options import QuantizationOptions


class ActivationQuantizer(nn.Module):
    """Quantizer that rounds a tensor of activations to the grid of its range. The range may lie on both sides of 0.

    Attributes:
        name: Its place in the network, for messages.
        bits: Bits of an activation.
    """

    def __init__(self, name: str, bits: int, options: QuantizationOptions) -> None:
        """Create a quantizer that has no range yet."""
        super().__init__()
        self.name, self.bits, self._options = name, bits, options
        self._num_observed = 0
        self._has_range = False  # caches the check of the tensors, which would synchronise with the device

    def bounds(self) -> Range:
        """Return the lower and upper end of the range, detached scalars; NaN before there is a range."""
        raise NotImplementedError

    def set_bounds(self, lower: Tensor, upper: Tensor) -> None:
        """Replace the range."""
        raise NotImplementedError

    def set_bits(self, bits: int) -> None:
        """Change the number of bits; the range stays."""
        bounds = [bound.clone() for bound in self.bounds()]
        self.bits = bits
        self.set_bounds(*bounds)

    def grid(self) -> Grid:
        """Return the current grid, detached.

        Raises:
            ConfigError: There is no range yet.
        """
        lower, upper = self.bounds()
        self._require(lower, upper)
        return affine_grid(lower, upper, self.bits)

    def start_observing(self) -> None:
        """Start over: the next `observe` replaces the range."""
        self._num_observed = 0

    @torch.no_grad()
    def observe(self, values: Tensor) -> None:
        """Update the range with a batch: ``minmax`` covers all since `start_observing`, others average."""
        self._num_observed += 1
        new, old = estimate_range(values, self.bits, self._options), self.bounds()
        if self._num_observed > 1 and self._options.ranges == "minmax":
            new = torch.minimum(old[0], new[0]), torch.maximum(old[1], new[1])
        elif self._num_observed > 1:
            new = _between(old, new, 1 / self._num_observed)
        self.set_bounds(*new)

    def _require(self, *state: Tensor) -> None:
        self._has_range = self._has_range or all(bool(tensor.isfinite().all()) for tensor in state)
        if not self._has_range:
            raise ConfigError(
                f"quantization: the activations of {self.name} have no range yet; calibrate the network on a few "
                "images, train it, or load its ranges"
            )


class ObservedRange(ActivationQuantizer):
    """A range that follows the activations by a moving average while training, and is fixed in evaluation mode.

    Source: Jacob et al., CVPR 2018, section 3.1.
    """

    lower: Tensor
    upper: Tensor

    def __init__(self, name: str, bits: int, options: QuantizationOptions) -> None:
        """Create a quantizer that has no range yet."""
        super().__init__(name, bits, options)
        self.register_buffer("lower", torch.tensor(math.nan))
        self.register_buffer("upper", torch.tensor(math.nan))

    def bounds(self) -> Range:
        """Return the lower and upper end of the range, scalars; NaN before there is a range."""
        return self.lower, self.upper

    def set_bounds(self, lower: Tensor, upper: Tensor) -> None:
        """Replace the range."""
        self.lower.copy_(lower)
        self.upper.copy_(upper)

    def forward(self, values: Tensor) -> Tensor:
        """Round a tensor of any shape.

        Raises:
            ConfigError: There is no range yet, in evaluation mode.
        """
        if self.training:
            with torch.no_grad():
                estimate = estimate_range(values, self.bits, self._options)
                self.set_bounds(*_between(self.bounds(), estimate, self._options.momentum))
            return fake_quantize(values, affine_grid(self.lower, self.upper, self.bits))
        return fake_quantize(values, self.grid())


class RangeParameter(nn.Parameter):
    """Trained parameter of a range; weight decay is disabled for it because it would only shrink the range."""


class LearnedRange(ActivationQuantizer):
    """A scale and an offset that are trained with the network, initialised from the first batch.

    Both gradients are scaled by ``1 / sqrt(n * (2 ** bits - 1))`` for n values in an image. The two have no
    weight decay. The integer of 0 is rounded, so that 0 stays exact.

    Source: Bhalgat et al., LSQ+, CVPR Workshops 2020, section 3.1; gradient scale from Esser et al., LSQ, ICLR
    2020, section 2.2.
    """

    def __init__(self, name: str, bits: int, options: QuantizationOptions) -> None:
        """Create a quantizer that has no range yet."""
        super().__init__(name, bits, options)
        self.scale = RangeParameter(torch.full((1,), math.nan))
        self.offset = RangeParameter(torch.full((1,), math.nan))

    def bounds(self) -> Range:
        """Return the lower and upper end of the range, scalars; NaN before there is a range."""
        scale, offset = self.scale.detach()[0], self.offset.detach()[0]
        return offset, offset + self._positive(scale) * (2**self.bits - 1)

    def set_bounds(self, lower: Tensor, upper: Tensor) -> None:
        """Replace the range."""
        with torch.no_grad():
            self.scale.copy_((upper.clamp_min(0) - lower.clamp_max(0)) / (2**self.bits - 1))
            self.offset.copy_(lower.clamp_max(0))

    def grid(self) -> Grid:
        """Return the current grid, detached.

        Raises:
            ConfigError: There is no range yet.
        """
        self._require(self.scale, self.offset)
        highest = 2**self.bits - 1
        scale = self._positive(self.scale.detach()[0])
        # Halves round up, as in torch's learnable operator.
        zero_point = (-self.offset.detach()[0] / scale + 0.5).floor().clamp(0, highest).to(torch.int32)
        return Grid(scale, zero_point, 0, highest)

    def forward(self, values: Tensor) -> Tensor:
        """Round a tensor [batch, ...].

        Raises:
            ConfigError: There is no range yet, in evaluation mode.
        """
        if self.training and not self._has_range and not bool(self.scale.isfinite().all()):
            self.set_bounds(*estimate_range(values, self.bits, self._options))
        self._require(self.scale, self.offset)
        highest = 2**self.bits - 1
        gradient_scale = 1 / math.sqrt(values[0].numel() * highest)
        scale = self._positive(self.scale)
        rounded = torch.ops.aten._fake_quantize_learnable_per_tensor_affine(
            values.float(), scale, -self.offset / scale, 0, highest, gradient_scale
        )
        return rounded.to(values.dtype)

    @staticmethod
    def _positive(scale: Tensor) -> Tensor:
        return scale.abs().clamp_min(SMALLEST_SCALE)


class GanSlimmingRange(ActivationQuantizer):
    """Fixed range [0, 4] in steps of 4 / 256, ends included: 257 numbers, as released. Negative values are lost.

    Source: Wang et al., GAN Slimming, ECCV 2020, as released.
    """

    scale: Tensor
    zero_point: Tensor

    def __init__(self, name: str, bits: int, options: QuantizationOptions) -> None:
        """Create a quantizer with the fixed range."""
        super().__init__(name, bits, options)
        self.register_buffer("scale", torch.tensor(4 / 256), persistent=False)
        self.register_buffer("zero_point", torch.tensor(0, dtype=torch.int32), persistent=False)

    def grid(self) -> Grid:
        """Return the grid, which is always the same."""
        return Grid(self.scale, self.zero_point, 0, 256)

    def start_observing(self) -> None:
        """Do nothing: the range is fixed."""

    def observe(self, values: Tensor) -> None:
        """Do nothing: the range is fixed."""

    def forward(self, values: Tensor) -> Tensor:
        """Round a tensor of any shape."""
        return fake_quantize(values, self.grid())


def activation_quantizer(name: str, bits: int, options: QuantizationOptions) -> ActivationQuantizer:
    """Return the quantizer for these options."""
    if options.fixed_levels:
        return GanSlimmingRange(name, bits, options)
    return (LearnedRange if options.ranges == "learned" else ObservedRange)(name, bits, options)


def _between(old: Range, new: Range, weight: float) -> Range:
    """Return the old range moved towards the new one, or the new one if the old is NaN, without a device sync."""
    lower, upper = (
        torch.where(before.isnan(), after, before + weight * (after - before))
        for before, after in zip(old, new, strict=True)
    )
    return lower, upper
