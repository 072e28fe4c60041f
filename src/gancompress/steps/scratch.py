"""The baseline of every compression: the same narrow network, trained as the teacher was, without one."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

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

    def run(self, work: Work, context: Context) -> Work:
        """Train it; the work's teacher stays the one to compare with.

        Raises:
            BudgetError: The narrowest network costs more than the budget.
            ConfigError: There is neither keep nor a budget; or as `PaperTraining.train`.
        """
        given = self.network or NetworkOptions(family=work.teacher.family, config=dict(work.teacher.config))
        wide = given.fresh(context.seed)
        graph = context.graph(wide, multiple=self.multiple, minimum=self.multiple)
        narrow = cut(wide, graph, uniform_plan(graph, self.keep, context.budget, self.kind))
        trained = self.train(NetworkOptions(family=narrow.family, config=dict(narrow.config)), context)
        return Work(work.teacher, trained.generator, trained.discriminator)
