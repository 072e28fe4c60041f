"""Architectures ranked by their latency on a runtime, measured side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from gancompress.cost import measure
from gancompress.deploy.latency.device import Target
from gancompress.deploy.latency.measuring import times_of
from gancompress.deploy.rewrites import rewritten
from gancompress.errors import BudgetError
from gancompress.networks.generator import Generator


@dataclass(frozen=True)
class Ranked:
    """An architecture with its cost and latency.

    Attributes:
        name: Description of the architecture.
        parameters: Number of its parameters.
        macs: True MACs.
        ms: Milliseconds of one image.
        fits: Whether it is within the budget; True without a budget.
    """

    name: str
    parameters: int
    macs: int
    ms: float
    fits: bool


def rank(
    networks: Sequence[tuple[str, Generator]],
    example: Tensor,
    target: Target,
    budget_ms: float | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> list[Ranked]:
    """Measure networks in turns and sort them: by MACs within a budget, the largest first; without one by time.

    Networks over the budget come last. The more a network computes within the budget, the better a student it can be
    expected to be; only training shows which one is best.

    Args:
        networks: Names and networks; weights do not matter.
        example: An input of all of them, batch 1.
        target: The runtime.
        budget_ms: The most milliseconds.
        say: Receives progress messages.

    Raises:
        BudgetError: None of them is within the budget; the message gives the latency of the fastest.
        ExportError: The runtime is missing, or refuses a network.
    """
    modules = [rewritten(generator.build(), target.rewrites(generator))[0] for _, generator in networks]
    times = times_of(modules, [tuple(example.shape)] * len(modules), target, say)
    ranked = []
    for (name, generator), ms in zip(networks, times, strict=True):
        cost = measure(generator.build().to("meta"), (example.to("meta"),))
        ranked.append(Ranked(name, cost.parameters, cost.macs.true, ms, budget_ms is None or ms <= budget_ms))
    if budget_ms is None:
        return sorted(ranked, key=lambda each: each.ms)
    if not any(each.fits for each in ranked):
        fastest = min(ranked, key=lambda each: each.ms)
        raise BudgetError(
            f"budget: got {budget_ms:,.2f} ms on {target}, but the fastest of {len(ranked)} networks, {fastest.name}, "
            f"takes {fastest.ms:,.2f} ms; raise the budget, or vary more (narrower widths, padding, tail, norm)"
        )
    return sorted(ranked, key=lambda each: (not each.fits, -each.macs, each.ms))
