"""Depth of a pruned network, from the options of the command line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from torch import Tensor

from gancompress.channels import ChannelGraph, ChannelPlan
from gancompress.cli.calibration import refit_inputs
from gancompress.cost import widest_plan
from gancompress.errors import ConfigError
from gancompress.methods.budget import CostLimit
from gancompress.methods.depth import best_depth, left_out_by, ordered_blocks
from gancompress.networks.generator import Generator


def parse_depth(text: str | None) -> float | Literal["auto"] | None:
    """Parse a fraction of the blocks, or "auto". Raises ConfigError for anything else."""
    if text is None or text == "auto":
        return text  # type: ignore[return-value]
    try:
        depth = float(text)
    except ValueError:
        depth = -1.0
    if not 0 <= depth <= 1:
        raise ConfigError(f"--depth: got '{text}', expected a fraction of the blocks between 0 and 1, or auto")
    return depth


class Blocks:
    """Blocks that ``--depth`` and ``--left-out`` leave out of a generator.

    Attributes:
        left_out: Blocks that every plan leaves out.
    """

    def __init__(
        self,
        generator: Generator,
        graph: ChannelGraph,
        depth: float | Literal["auto"] | None,
        left_out: Sequence[str],
        folder: Path | None,
        shapes: tuple[Tensor, ...],
        labels: int | None,
        num_images: int,
    ) -> None:
        """Score the blocks on the images of a folder, if ``depth`` asks for it.

        Raises:
            PlanError: A name fits no block.
            ConfigError: There is no folder to score blocks on, or no block to leave out.
        """
        self.left_out = graph.matching_blocks(left_out)
        self._graph, self._automatic = graph, depth == "auto"
        if depth is None:
            return
        if folder is None:
            raise ConfigError("--depth: got no images to score blocks on, expected --refit FOLDER or --images FOLDER")
        (self._images,) = refit_inputs(generator, folder, shapes, labels, num_images)
        self._order = ordered_blocks(generator.build(), graph, self._images)
        if depth != "auto":
            self.left_out += left_out_by(depth, self._order)

    def within(
        self,
        wide: Generator,
        cost: Callable[[ChannelPlan], float],
        limit: CostLimit,
        *,
        refitted: bool,
        say: Callable[[str], None],
    ) -> ChannelPlan:
        """Return the plan of the best depth within a budget for "auto", else the widest one. Raises BudgetError."""
        if not self._automatic:
            return widest_plan(self._graph, cost, limit.limit, limit.unit, self.left_out)
        given = wide.build(), self._graph, cost, limit, self._order, self._images
        return best_depth(*given, left_out=self.left_out, refitted=refitted, say=say)
