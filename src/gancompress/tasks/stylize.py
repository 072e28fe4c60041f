"""Stylization: photographs to which a student applies the effect of an existing teacher."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from gancompress.data import DataConfig
from gancompress.errors import ConfigError
from gancompress.tasks.task import Task, TaskOptions, register_task
from gancompress.training import Batch


@dataclass(frozen=True)
class StylizeTask(Task):
    """Stylization of photographs like the teacher does it. A batch needs only them, as ``input``.

    If it has images of the style too, as ``target``, they are the real images of the discriminator; otherwise the
    teacher's images are.

    Source: Wang et al., GAN Slimming, ECCV 2020, as released: the discriminator sees no other real images.
    """

    trains_teacher = False

    name: str = "stylize"
    paired: bool = False

    def real(self, batch: Batch, teacher_image: Tensor | None = None) -> Tensor:
        """Return the discriminator's real images: those of the style or, without them, the teacher's.

        Raises:
            ConfigError: There are neither.
        """
        image = batch.get("target", teacher_image)
        if image is None:
            raise ConfigError(
                "stylize: got neither images of the style nor the teacher's, expected one of them for the "
                "discriminator; give a data set with targets, or leave the adversarial term out"
            )
        return self.seen(batch, image)


@register_task
class StylizeOptions(TaskOptions):
    """Stylization; it has no options."""

    kind = "stylize"

    def build(self, data: DataConfig | None) -> Task:
        """Return the task."""
        return StylizeTask()
