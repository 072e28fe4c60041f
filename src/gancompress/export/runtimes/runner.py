"""What every runtime makes of a file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass(frozen=True)
class Input:
    """One input of a file.

    Attributes:
        name: Its name.
        shape: Its shape; None for what is free.
        dtype: Type of its values.
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: torch.dtype


@dataclass(frozen=True)
class Runner:
    """A network that is ready to run.

    Attributes:
        run: From its inputs to its outputs, tensors on the CPU.
        metadata: What the file says about itself.
        inputs: What the file takes, in order; empty where only the network's code tells.
    """

    run: Callable[[tuple[Tensor, ...]], list[Tensor]]
    metadata: Mapping[str, str] = field(default_factory=dict)
    inputs: tuple[Input, ...] = ()
