"""A task: return the negative of an image. A teacher learns it by the squared difference alone."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from gancompress.data import DataConfig
from gancompress.tasks import Task, TaskOptions, TeacherTraining, register_task
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
        return NegativeObjective(self, training.generator)


class NegativeObjective(Objective):
    averaged = ("generator",)

    def __init__(self, task: NegativeTask, generator: nn.Module) -> None:
        self.task, self.modules, self.frozen = task, {"generator": generator}, {}
        self.phases = (Phase("generator", ("generator",), self._loss),)

    def forward(self, batch: Batch, num_images: int) -> Tensor:
        return self.modules["generator"](batch["input"])

    def preview(self, batch: Batch, modules: Mapping[str, nn.Module]) -> dict[str, Tensor]:
        return self.task.columns(batch, {"teacher": modules["generator"](batch["input"])})

    def _loss(self, batch: Batch, image: Tensor) -> dict[str, Any]:
        return Losses(negative=self.task.weight * (image + batch["input"]).square().mean())
