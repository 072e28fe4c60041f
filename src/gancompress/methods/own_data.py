"""The task of a caller's own data: outputs of any kind, truths where batches have them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from gancompress.tasks.task import Task
from gancompress.training import Batch


@dataclass(frozen=True)
class OwnData(Task):
    """Batches with ``input`` and, where they are paired, ``target``. A discriminator sees outputs alone."""

    def real(self, batch: Batch, teacher_image: Tensor | None = None) -> Tensor:
        """Return the truth where there is one, else the teacher's output."""
        found = batch.get("target", teacher_image)
        assert found is not None
        return found

    def seen(self, batch: Batch, image: Tensor) -> Tensor:
        """Return the output itself."""
        return image

    def columns(self, batch: Batch, images: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the outputs."""
        return dict(images)
