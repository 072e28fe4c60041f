"""The baseline of every compression: the same narrow network, trained as the teacher was, without one."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from gancompress.steps.prune import Fraction, cut, uniform_plan
from gancompress.steps.step import Context, Work
from gancompress.steps.teacher import NetworkOptions, TrainTeacher


class Scratch(TrainTeacher):
    """Train a uniformly narrow network from fresh weights, as its paper trains a teacher. Nothing is distilled.

    Attributes:
        network: The architecture; that of the teacher where left out.
        keep: Fraction of every group's channels that it has; the budget decides where left out.
        multiple: Its widths are multiples of this, or full.
    """

    kind = "scratch"

    network: NetworkOptions | None = None  # pyright: ignore[reportIncompatibleVariableOverride]
    keep: Fraction | None = None
    multiple: Annotated[int, Field(ge=1)] = 8

    def run(self, work: Work, context: Context) -> Work:
        """Train it; the work's teacher stays the one to compare with."""
        given = self.network or NetworkOptions(family=work.teacher.family, config=dict(work.teacher.config))
        wide = given.fresh(context.seed)
        graph = context.graph(wide, multiple=self.multiple, minimum=self.multiple)
        narrow = cut(wide, graph, uniform_plan(graph, self.keep, context.budget, self.kind))
        options = {name: getattr(self, name) for name in TrainTeacher.model_fields if name != "network"}
        network = NetworkOptions(family=narrow.family, config=dict(narrow.config))
        trained = TrainTeacher(network=network, **options).run(work, context)
        return Work(work.teacher, trained.generator, trained.discriminator)
