"""The baseline of every compression: the same narrow network, trained as the teacher was, without one."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from gancompress.models.generator import Generator
from gancompress.steps.prune import Fraction, cut, uniform_plan
from gancompress.steps.step import Context, Work
from gancompress.steps.teacher import NetworkOptions, PaperTraining


class Scratch(PaperTraining):
    """Train a uniformly narrow network from fresh weights, as its paper trains a teacher. Nothing is distilled.

    Attributes:
        network: The architecture; that of the teacher where left out.
        keep: Fraction of every group's channels that it has; the budget decides where left out.
        multiple: Its widths are multiples of this, or full.
    """

    kind = "scratch"

    network: NetworkOptions | None = None
    keep: Fraction | None = None
    multiple: Annotated[int, Field(ge=1)] = 8

    @property
    def uses_budget(self) -> bool:
        """The budget says how narrow, unless ``keep`` does."""
        return self.keep is None

    def run(self, work: Work, context: Context) -> Work:
        """Train it; the work's teacher stays the one to compare with.

        Raises:
            BudgetError: The narrowest network costs more than the budget.
            ConfigError: There is neither keep nor a budget; or as `PaperTraining.train`.
        """

        def wide(seed: int) -> Generator:
            return work.teacher.fresh(seed) if self.network is None else self.network.fresh(seed)

        graph = context.graph(wide(context.seed), multiple=self.multiple, minimum=self.multiple)
        plan = uniform_plan(graph, self.keep, context.budget, self.kind)
        trained = self.train(lambda seed: cut(wide(seed), graph, plan).fresh(seed), context)
        return Work(work.teacher, trained.generator, trained.discriminator)
