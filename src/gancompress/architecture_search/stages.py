"""Depth as a choice of a search space: stages of residual blocks, of which a plan keeps a number."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from gancompress.channels import modules_of


@dataclass(frozen=True)
class Stage:
    """Residual blocks of one list.

    Attributes:
        name: Path of the list.
        blocks: Names of the blocks; a plan that keeps k of them keeps the first k.

    Source: Cai et al., Once-for-All, ICLR 2020, section 3.2 (elastic depth).
    """

    name: str
    blocks: tuple[str, ...]

    def left_out(self, kept: int) -> tuple[str, ...]:
        """Return the blocks that are left out if a number of them is kept."""
        return self.blocks[kept:]

    def choices(self, min_depth: float) -> tuple[int, ...]:
        """Return the numbers of blocks that may be kept, ascending; at least one.

        Args:
            min_depth: The smallest number as a fraction of all.
        """
        return tuple(range(max(1, math.ceil(min_depth * len(self.blocks) - 1e-9)), len(self.blocks) + 1))


def stages_of(blocks: Sequence[str]) -> tuple[Stage, ...]:
    """Return the stages of blocks: those of one list each.

    Args:
        blocks: Names of blocks, those that stay longest first.
    """
    lists: dict[str, list[str]] = {}
    for block in blocks:
        lists.setdefault(modules_of(block)[-1].rpartition(".")[0], []).append(block)
    return tuple(Stage(name, tuple(own)) for name, own in lists.items())
