"""Checks of the values of weights, and their type."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from gancompress.networks.checkpoint_file import unusable


def check_values(path: Path, state: Mapping[str, Tensor], network: nn.Module) -> None:
    """Check that weights can be weights. Buffers may be infinite, because masks are, but statistics may not.

    Raises:
        CheckpointError: A value is not a number, or infinite, or of a type that holds no weights.
    """
    parameters = dict(network.named_parameters(remove_duplicate=False))
    for name, wanted in network.state_dict().items():
        tensor = state[name]
        if wanted.is_floating_point() and not tensor.is_floating_point():
            raise unusable(path, name, f"a tensor of {str(tensor.dtype).removeprefix('torch.')}")
        if not tensor.is_floating_point() or not tensor.numel():
            continue
        if tensor.dtype.itemsize == 1:
            raise unusable(path, name, "a tensor of 8-bit floats, whose scales are not in the file")
        strict = name in parameters or name.endswith(("running_mean", "running_var"))
        if tensor.isnan().any() or (strict and not tensor.isfinite().all()):
            count = int((~tensor.isfinite()).sum())
            raise unusable(path, name, f"not finite ({count:,} of {tensor.numel():,} values)")


def in_training_dtype(tensor: Tensor) -> Tensor:
    """Return a tensor in float32 if it is of another floating-point type of more than 8 bits."""
    return tensor.detach().float() if tensor.is_floating_point() and tensor.dtype.itemsize > 1 else tensor.detach()
