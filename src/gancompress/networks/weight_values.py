"""Check of the values of weights: finite floating-point numbers of at least 16 bits."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from gancompress.errors import CheckpointError


def unusable(where: Path | str, name: str, what: str) -> CheckpointError:
    """Return the error of a tensor that cannot be a weight."""
    return CheckpointError(
        f"{where}: '{name}' is {what}, expected finite floating-point values; save the network's weights in float32"
    )


def check_values(where: Path | str, state: Mapping[str, Tensor], network: nn.Module | None) -> None:
    """Check that weights can be weights. Buffers may be infinite, because masks are, but statistics may not.

    Args:
        where: Their file, for messages.
        state: The weights; those that the network does not have are ignored.
        network: The network, for its structure. Without it every tensor counts as a buffer of any type.

    Raises:
        CheckpointError: A value is not a number, or infinite, or of a type that holds no weights.
    """
    parameters = {} if network is None else dict(network.named_parameters(remove_duplicate=False))
    for name, wanted in (state if network is None else network.state_dict()).items():
        if (tensor := state.get(name)) is None:
            continue
        if tensor.is_quantized or tensor.is_complex() or tensor.is_meta or not _is_dense(tensor):
            raise unusable(where, name, f"a {_kind(tensor)} tensor")
        if wanted.is_floating_point() and not tensor.is_floating_point():
            raise unusable(where, name, f"a tensor of {str(tensor.dtype).removeprefix('torch.')}")
        if not tensor.is_floating_point() or not tensor.numel():
            continue
        if tensor.dtype.itemsize == 1:
            raise unusable(where, name, "a tensor of 8-bit floats, whose scales are not in the file")
        strict = name in parameters or name.endswith(("running_mean", "running_var"))
        if tensor.isnan().any() or (strict and not tensor.isfinite().all()):
            count = int((~tensor.isfinite()).sum())
            raise unusable(where, name, f"not finite ({count:,} of {tensor.numel():,} values)")


def _is_dense(tensor: Tensor) -> bool:
    return str(tensor.layout) == "torch.strided" and not tensor.is_nested


def _kind(tensor: Tensor) -> str:
    if tensor.is_quantized:
        return "quantized"
    return "complex" if tensor.is_complex() else "meta" if tensor.is_meta else "sparse or nested"
