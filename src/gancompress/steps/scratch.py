"""Baseline of every compression: the same narrow network, trained like the teacher, without distillation."""

from __future__ import annotations

from gancompress.networks.cut import cut
from gancompress.networks.generator import Generator
from gancompress.steps.prune import Narrowing
from gancompress.steps.step import Context, Work, register_step
from gancompress.steps.teacher import NetworkOptions, PaperTraining


@register_step
class Scratch(PaperTraining, Narrowing):
    """Step that trains a uniformly narrow network from fresh weights like a teacher, without distillation.

    Attributes:
        network: The architecture; that of the teacher by default.
    """

    kind = "scratch"

    network: NetworkOptions | None = None

    def run(self, work: Work, context: Context) -> Work:
        """Train the network; the work's teacher stays the reference.

        Raises:
            BudgetError: The narrowest network costs more than the budget.
            ConfigError: There is neither keep nor a budget; or raised by `PaperTraining.train`.
        """

        def wide(seed: int) -> Generator:
            if self.network is None:
                return work.teacher.fresh(seed)
            return self.network.fresh(seed, **self.network.fixed_by(context.task))

        graph, plan = self.plan(wide(context.seed), context)
        trained = self.train(lambda seed: cut(wide(seed), graph, plan).fresh(seed), context)
        return Work(work.teacher, trained.generator, trained.discriminator)
