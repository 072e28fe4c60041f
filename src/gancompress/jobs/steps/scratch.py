"""Baseline of every compression: the same narrow network, trained like the teacher, without distillation."""

from __future__ import annotations

from gancompress.jobs.steps.narrowing import Narrowing
from gancompress.jobs.steps.networks import NetworkOptions
from gancompress.jobs.steps.step import Goal, StepRun, Work, register_step
from gancompress.jobs.steps.teacher import PaperTraining
from gancompress.networks.cut import cut
from gancompress.networks.generator import Generator
from gancompress.tasks.inputs import Inputs


@register_step
class Scratch(PaperTraining, Narrowing):
    """Step that trains a uniformly narrow network from fresh weights like a teacher, without distillation.

    Attributes:
        network: The architecture; that of the teacher by default.
    """

    kind = "scratch"

    network: NetworkOptions | None = None

    def run(self, work: Work, inputs: Inputs, run: StepRun, goal: Goal) -> Work:
        """Train the network; the work's teacher stays the reference.

        Raises:
            BudgetError: The narrowest network costs more than the budget.
            ConfigError: There is neither keep nor a budget; or raised by `PaperTraining.train`.
        """

        def wide(seed: int) -> Generator:
            if self.network is None:
                return work.teacher.fresh(seed)
            return self.network.fresh(seed, **self.network.fixed_by(inputs.task))

        graph, plan = self.plan(wide(run.seed), inputs, run, goal.budget)
        trained = self.train(lambda seed: cut(wide(seed), graph, plan).fresh(seed), inputs, run)
        return Work(work.teacher, trained.generator, trained.discriminator)
