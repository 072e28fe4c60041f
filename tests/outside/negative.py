"""A task: return the negative of an image. A teacher learns it by the squared difference, or by a recipe's terms."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from gancompress.data import DataConfig
from gancompress.losses import L2, Comparison
from gancompress.tasks import Task, TaskOptions, TeacherTerms, TeacherTraining, register_task
from gancompress.training import Batch, Losses, Objective, Phase


@register_task
class NegativeOptions(TaskOptions):
    kind = "negative"
    paired = True

    weight: float = 1.0

    def build(self, data: DataConfig | None) -> "NegativeTask":
        return NegativeTask(weight=self.weight)


@dataclass(frozen=True)
class NegativeTask(Task):
    name: str = "negative"
    paired: bool = True
    weight: float = 1.0

    def objective(self, training: TeacherTraining) -> Objective:
        return NegativeObjective(self, training)


class NegativeObjective(Objective):
    averaged = ("generator",)

    def __init__(self, task: NegativeTask, training: TeacherTraining) -> None:
        self.task = task
        self.terms = TeacherTerms(training.terms or (L2(task.weight),), training.image, ["images"])
        self.modules, self.frozen = {"generator": training.generator, **self.terms.learned}, self.terms.frozen
        self.phases = (Phase("generator", tuple(self.modules), self._loss),)

    def forward(self, batch: Batch, num_images: int) -> Tensor:
        return self.modules["generator"](batch["input"])

    def preview(self, batch: Batch, modules: Mapping[str, nn.Module]) -> dict[str, Tensor]:
        return self.task.columns(batch, {"teacher": modules["generator"](batch["input"])})

    def _loss(self, batch: Batch, image: Tensor) -> Losses:
        return self.terms.losses(Comparison(image, -batch["input"]))
