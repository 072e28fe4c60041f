"""Online distillation: teachers that train beside the student, which learns from them in every step.

Source: Ren et al., Online Multi-Granularity Distillation for GAN Compression, ICCV 2021, section 3; there the student
of an unpaired task learns from the best of several epochs, here in every step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from gancompress.cost.measured import evaluation_mode
from gancompress.objectives.distillation import Distillation
from gancompress.training import Batch, Losses, Objective, Phase, TrainingOptions

STUDENT = "student"


@dataclass(frozen=True)
class OnlineTeacher:
    """A teacher that is trained beside the student.

    Attributes:
        training: Objective that trains it; its module ``generator`` is the teacher.
        distillation: The student's terms towards this teacher. Its discriminator, if a term needs one, is that of
            ``training``, which the student does not train.
    """

    training: Objective
    distillation: Distillation


class _Made(NamedTuple):
    """Forward passes of one step: of the student towards each teacher, and of each teacher's own objective."""

    learning: Mapping[str, Any]
    training: Mapping[str, Any]


class OnlineDistillation(Objective):
    """Objective of a student and of teachers that train beside it.

    The student learns from the outputs that the teachers had before their own update of the step, in evaluation mode.
    """

    averaged = (STUDENT,)
    measured = STUDENT

    def __init__(
        self,
        teachers: Mapping[str, OnlineTeacher],
        batch_size: int,
        every: int = 1,
        learning_rate: float | None = None,
    ) -> None:
        """Take the teachers and their terms.

        Args:
            teachers: The teachers by name, at least one; all distillations hold the same student.
            batch_size: Images of one step, over all processes.
            every: Steps of the student for one of the teachers.
            learning_rate: Learning rate of the teachers; the student's by default.
        """
        self._teachers, self._batch_size, self._every = dict(teachers), batch_size, every
        self._learning_rate = learning_rate
        self.modules, self.frozen, teacher_phases = {}, {}, []
        self.notes = tuple(dict.fromkeys(note for each in teachers.values() for note in each.distillation.notes))
        learned: list[str] = []
        for name, teacher in self._teachers.items():
            owned = {id(module) for module in teacher.training.modules.values()}
            for part, module in teacher.distillation.modules.items():
                if id(module) not in owned:
                    key = part if part == STUDENT else self._of(name, part)
                    self.modules[key] = module
                    learned += [key] if key not in learned else []
            self.modules |= {f"{name}_{part}": module for part, module in teacher.training.modules.items()}
            frozen = {self._of(name, part): module for part, module in teacher.distillation.frozen.items()}
            frozen |= {f"{name}_{part}": module for part, module in teacher.training.frozen.items()}
            self.frozen |= {part: module for part, module in frozen.items() if id(module) not in owned}
            for phase in teacher.training.phases:
                teacher_phases.append(
                    Phase(
                        f"{name}_{phase.name}",
                        tuple(f"{name}_{part}" for part in phase.modules),
                        partial(self._teacher_loss, name, phase.loss),
                        phase.discriminates,
                        phase.shares and f"{name}_{phase.shares}",
                    )
                )
        self.phases = (Phase(STUDENT, tuple(learned), self._student_loss), *teacher_phases)

    def forward(self, batch: Batch, num_images: int) -> _Made:
        """Run the student with every teacher, and the teachers for their own update if the step has one."""
        learning = {}
        for name, teacher in self._teachers.items():
            with evaluation_mode(teacher.training.modules["generator"]):
                learning[name] = teacher.distillation.forward(batch, num_images)
        updates = num_images // self._batch_size % self._every == 0
        training = {name: each.training.forward(batch, num_images) for name, each in self._teachers.items() if updates}
        return _Made(learning, training)

    def preview(self, batch: Batch, modules: Mapping[str, nn.Module]) -> dict[str, Tensor]:
        """Return the input, the images of every teacher and of the student, and the ground truth if there is one."""
        columns: dict[str, Tensor] = {}
        for name, teacher in self._teachers.items():
            shown = teacher.distillation.preview(batch, {STUDENT: modules[STUDENT]})
            columns |= {name if column == "teacher" else column: image for column, image in shown.items()}
        return columns

    def optimizers(self, phase: Phase, options: TrainingOptions) -> dict[str, torch.optim.Optimizer]:
        """Return one optimizer of the student and its adaptors, and those of the teachers' own objectives."""
        if phase.name == STUDENT:
            each = [teacher.distillation for teacher in self._teachers.values()]
            trained = {id(p): p for own in each for p in own.trained(own.phases[-1])}
            return {STUDENT: options.adam(trained.values())}
        name, own = next(
            (name, own)
            for name, teacher in self._teachers.items()
            for own in teacher.training.phases
            if f"{name}_{own.name}" == phase.name
        )
        if self._learning_rate is not None:
            options = options.model_copy(
                update={"optimizer": options.optimizer.model_copy(update={"learning_rate": self._learning_rate})}
            )
        made = self._teachers[name].training.optimizers(own, options)
        return {f"{name}_{key}": optimizer for key, optimizer in made.items()}

    def memory(self) -> dict[str, Tensor]:
        """Return the state of the teachers' objectives."""
        memories = {name: teacher.training.memory() for name, teacher in self._teachers.items()}
        return {f"{name}/{key}": value for name, memory in memories.items() for key, value in memory.items()}

    def remember(self, memory: Mapping[str, Tensor]) -> None:
        """Restore what `memory` returned."""
        for name, teacher in self._teachers.items():
            own = {key.removeprefix(f"{name}/"): t for key, t in memory.items() if key.startswith(f"{name}/")}
            teacher.training.remember(own)

    def statistics(self) -> dict[str, float]:
        """Return the statistics of the student's adversarial terms."""
        return {
            self._of(name, key): value
            for name, teacher in self._teachers.items()
            for key, value in teacher.distillation.statistics().items()
        }

    def _of(self, teacher: str, part: str) -> str:
        """Return the name of a part of the student's supervision: with the teacher's name, if there are several."""
        return part if len(self._teachers) == 1 else f"{teacher}_{part}"

    def _student_loss(self, batch: Batch, made: _Made) -> Losses:
        return {
            self._of(name, term): loss
            for name, teacher in self._teachers.items()
            for term, loss in teacher.distillation.phases[-1].loss(batch, made.learning[name]).items()
        }

    def _teacher_loss(self, name: str, loss: Callable[[Batch, Any], Losses], batch: Batch, made: _Made) -> Losses:
        return loss(batch, made.training[name]) if name in made.training else {}
