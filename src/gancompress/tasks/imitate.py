"""Imitation: inputs of any kind, for which a student returns what an existing teacher returns."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from gancompress.data import DataConfig
from gancompress.errors import ConfigError
from gancompress.tasks.task import Task, TaskOptions, register_task
from gancompress.training import Batch


@dataclass(frozen=True)
class ImitateTask(Task):
    """Imitation of a teacher on inputs alone. A batch needs only them, as ``input``, in the form of its network.

    If it has real examples of the output too, as ``target``, they are the discriminator's real ones; otherwise the
    teacher's outputs are.

    Source: Wang et al., GAN Slimming, ECCV 2020, as released: the discriminator sees no other real images.
    """

    trains_teacher = False

    name: str = "imitate"
    paired: bool = False

    def real(self, batch: Batch, teacher_image: Tensor | None = None) -> Tensor:
        """Return the discriminator's real examples: those of the data or, without them, the teacher's outputs.

        Raises:
            ConfigError: There are neither.
        """
        image = batch.get("target", teacher_image)
        if image is None:
            raise ConfigError(
                "imitate: got neither real outputs nor the teacher's, expected one of them for the discriminator; "
                "give a data set with targets, or leave the adversarial term out"
            )
        return self.seen(batch, image)


@register_task
class ImitateOptions(TaskOptions):
    """Imitation; it has no options."""

    kind = "imitate"

    def build(self, data: DataConfig | None) -> Task:
        """Return the task."""
        return ImitateTask()
