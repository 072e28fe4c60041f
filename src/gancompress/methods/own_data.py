"""Task for a caller's own data: outputs of any kind, targets if batches have them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from gancompress.tasks.task import Task
from gancompress.training import Batch


@dataclass(frozen=True)
class OwnData(Task):
    """Batches with ``input`` and, if they are paired, ``target``. A discriminator gets only outputs."""

    def real(self, batch: Batch, teacher_image: Tensor | None = None) -> Tensor:
        """Return the batch's target, or else the teacher's output."""
        found = batch.get("target", teacher_image)
        assert found is not None
        return found

    def seen(self, batch: Batch, image: Tensor) -> Tensor:
        """Return the output unchanged."""
        return image

    def columns(self, batch: Batch, images: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the outputs unchanged."""
        return dict(images)
