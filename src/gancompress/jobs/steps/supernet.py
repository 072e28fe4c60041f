"""Training of a supernet, which contains a network for every plan.

Source: Li et al., GAN Compression, CVPR 2020, section 3.3; Cai et al., Once-for-All, ICLR 2020; Yu and Huang,
Universally Slimmable Networks, ICCV 2019.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal

from pydantic import Field, model_validator

from gancompress.importance import AnyScore
from gancompress.jobs.steps.learning import Learning
from gancompress.jobs.steps.networks import NetworkOptions
from gancompress.jobs.steps.prune import sorted_by
from gancompress.jobs.steps.spaces import SpaceOptions
from gancompress.jobs.steps.step import Goal, StepRun, Work, register_step
from gancompress.jobs.steps.students import student_of
from gancompress.objectives.students import Sampling, SupernetStudent
from gancompress.tasks.inputs import Inputs


@register_step
class Supernet(Learning):
    """Step that trains all plans of a wide network together, one or a few for each batch.

    Attributes:
        network: The wide network; the work's generator by default.
        initial: Initial weights of a given ``network``: the teacher's where the layers agree, or fresh ones.
        score: Importance score of channels; the important ones come first.
        space: The plans to train.
        sampling: The plans of one batch: one at random, or a sandwich of the widest, the narrowest and some at random,
            whose gradients are averaged.
        num_random: Random plans of a sandwich step.
        in_place_distillation: Whether the other networks of a sandwich step reconstruct the image of the widest; the
            widest keeps its usual target. Feature maps are compared with the teacher's in all networks.
    """

    kind = "supernet"

    network: NetworkOptions | None = None
    initial: Literal["teacher", "random"] = "teacher"
    score: AnyScore = "l1_incoming"
    space: SpaceOptions = SpaceOptions()
    sampling: Sampling = "random"
    num_random: Annotated[int, Field(ge=0)] = 2
    in_place_distillation: bool = False

    @model_validator(mode="after")
    def _has_a_widest(self) -> Supernet:
        if self.in_place_distillation and self.sampling != "sandwich":
            raise ValueError("in_place_distillation: got sampling random, expected sandwich, which runs the widest")
        if self.in_place_distillation and not self.distillation.compares_images:
            raise ValueError(
                "in_place_distillation: got no term that compares images, expected one, such as {kind: l1, weight: 100}"
            )
        return self

    def run(self, work: Work, inputs: Inputs, run: StepRun, goal: Goal) -> Work:
        """Train the supernet; the work's generator becomes the wide network."""
        if self.network is not None:
            wide = student_of(self.network, work, self.initial, self.score, inputs, run)
        else:
            wide = sorted_by(self.score, work.generator, inputs, run)
        module = wide.build()
        graph = inputs.graph(wide, multiple=1, minimum=1)
        space = self.space.of(wide, graph)
        student = SupernetStudent(
            module, graph, space, run.seed, self.sampling, self.num_random, self.in_place_distillation
        )
        discriminator = self.teach(student, replace(work, generator=wide), inputs, run)
        return Work(work.teacher, wide.with_weights_of(module.cpu()), discriminator)
