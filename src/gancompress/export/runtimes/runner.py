"""What every runtime makes of a file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from torch import Tensor


@dataclass(frozen=True)
class Runner:
    """A network that is ready to run.

    Attributes:
        run: From its inputs to its outputs, float tensors on the CPU.
        metadata: What the file says about itself.
        input_shapes: Shape of each input; None for what is free. Empty where nothing is fixed.
    """

    run: Callable[[tuple[Tensor, ...]], list[Tensor]]
    metadata: Mapping[str, str] = field(default_factory=dict)
    input_shapes: tuple[tuple[int | None, ...], ...] = ()
