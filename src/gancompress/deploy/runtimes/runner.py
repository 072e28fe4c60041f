"""Interface of an opened network or file, common to all runtimes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass(frozen=True)
class Input:
    """Input of a file.

    Attributes:
        name: Its name.
        shape: Its shape; None for free sizes.
        dtype: Type of its values.
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: torch.dtype


@dataclass(frozen=True)
class Runner:
    """Network that is ready to run.

    Attributes:
        run: Function from its inputs to its outputs, tensors on the CPU.
        metadata: Metadata in the file.
        inputs: Inputs of the file, in order; empty if only the network's code defines them.
    """

    run: Callable[[tuple[Tensor, ...]], list[Tensor]]
    metadata: Mapping[str, str] = field(default_factory=dict)
    inputs: tuple[Input, ...] = ()
