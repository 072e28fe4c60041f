"""Training a supernet, of which every plan is a network.

Source: Li et al., GAN Compression, CVPR 2020, section 3.3; Cai et al., Once-for-All, ICLR 2020.
"""

from __future__ import annotations

from typing import Literal

from gancompress.importance import find_score
from gancompress.models.generator import Generator
from gancompress.steps.distill import Learning, student_of
from gancompress.steps.prune import sort
from gancompress.steps.spaces import SpaceOptions
from gancompress.steps.step import Context, Work
from gancompress.steps.students import SupernetStudent
from gancompress.steps.teacher import NetworkOptions


class Supernet(Learning):
    """Train all plans of a wide network at once, one random plan for each batch.

    Attributes:
        network: The wide network; the work's generator where left out.
        initial: Where a network is named: its weights from the teacher, as far as the layers agree, or fresh.
        score: What makes a channel important; the important ones come to lead.
        space: The plans to train.
    """

    kind = "supernet"

    network: NetworkOptions | None = None
    initial: Literal["teacher", "random"] = "teacher"
    score: str = "l1_incoming"
    space: SpaceOptions = SpaceOptions()

    def run(self, work: Work, context: Context) -> Work:
        """Train the supernet; the work's generator becomes the wide network."""
        if self.network is not None:
            wide = student_of(self.network, work, context, self.initial, self.score)
        else:
            wide = sort(work.generator, context.graph(work.generator), find_score(self.score))
        module = wide.build()
        graph = context.graph(wide, multiple=1, minimum=1)
        space = self.space.of(wide, graph)
        student = SupernetStudent(module, graph, lambda rng: space.plan(space.sample(rng)), context.seed)
        judge = self.teach(student, work, context)
        trained = Generator.from_module(module.cpu(), wide.family, wide.config, wide.resized)
        return Work(work.teacher, trained, judge)
