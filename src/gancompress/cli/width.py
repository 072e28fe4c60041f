"""Width of a pruned network, from the options of the command line."""

from __future__ import annotations

from collections.abc import Callable

from gancompress.channels import ChannelGraph, ChannelPlan
from gancompress.cli.depth import Blocks
from gancompress.cli.parsing import parse_convention, parse_count, parse_plan
from gancompress.errors import PlanError
from gancompress.methods.budget import CostLimit
from gancompress.networks.generator import Generator


class Width:
    """One of ``--keep``, ``--macs`` and ``--plan``.

    Attributes:
        limit: The budget; None without ``--macs``.
        plan: The widths of an explicit plan; None without one.
    """

    def __init__(self, keep: float | None, macs: str | None, plan: str | None, convention: str) -> None:
        """Parse the options.

        Raises:
            PlanError: None or several of the three are given, or the budget is no number.
            ConfigError: The convention is unknown.
        """
        if sum(choice is not None for choice in (keep, macs, plan)) != 1:
            raise PlanError("prune: expected one of --keep, --macs and --plan, to say how narrow")
        counted = parse_convention(convention)
        self.limit = None if macs is None else CostLimit(parse_count(macs), counted)
        self.plan, self._keep = plan, keep

    def of(
        self, wide: Generator, graph: ChannelGraph, blocks: Blocks, *, refitted: bool, say: Callable[[str], None]
    ) -> ChannelPlan:
        """Return the plan of a generator without its left-out blocks.

        Args:
            wide: Generator with the most important channels first.
            graph: Its channel graph.
            blocks: Blocks to leave out.
            refitted: Whether the narrow network is refitted afterwards.
            say: Called with remarks for the user.

        Raises:
            BudgetError: The narrowest network costs more than the budget.
            PlanError: The plan or the fraction does not fit the graph.
        """
        if self.limit is not None:
            return blocks.within(wide, self.limit.cost(graph), self.limit, refitted=refitted, say=say)
        if self.plan is not None:
            return parse_plan(wide, graph, self.plan).leaving_out(blocks.left_out)
        assert self._keep is not None
        return graph.uniform_plan(self._keep).leaving_out(blocks.left_out)
