"""Image translation with and without pairs. A batch holds ``input`` and ``target``, images [b, c, h, w] in [-1, 1]."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from gancompress.errors import ConfigError, nearest
from gancompress.training import Batch

GanMode = Literal["hinge", "lsgan", "vanilla", "wgan"]
"""Forms of the adversarial loss, by their names in `gancompress.losses.ADVERSARIAL`."""

Weight = Annotated[float, Field(ge=0)]
"""Of a term of a loss."""


@dataclass(frozen=True)
class Task:
    """What a generator learns.

    Attributes:
        name: Its key in `TASKS`.
        paired: Whether ``target`` is the right answer to ``input``, and not just any image of the target domain.
    """

    name: str
    paired: bool

    def real(self, batch: Batch) -> Tensor:
        """What the discriminator is to take for real: input and target side by side where they are a pair."""
        return self.seen(batch, batch["target"])

    def seen(self, batch: Batch, image: Tensor) -> Tensor:
        """What the discriminator sees of a generated image [b, c, h, w]: condition and image where there are pairs.

        Source: Isola et al., pix2pix, CVPR 2017, equation 1.
        """
        return torch.cat([batch["input"], image], 1) if self.paired else image

    def discriminator_channels(self, in_channels: int, out_channels: int) -> int:
        """Channels of what the discriminator sees."""
        return in_channels + out_channels if self.paired else out_channels

    def answer(self, batch: Batch, teacher_image: Tensor) -> Tensor:
        """What a student should reconstruct: the truth where there is one, else what its teacher made.

        Source: Li et al., GAN Compression, CVPR 2020, equation 1 (pseudo pairs).
        """
        return batch["target"] if self.paired else teacher_image

    def columns(self, batch: Batch, images: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The columns of a sample grid."""
        truth = {"ground truth": batch["target"]} if self.paired else {}
        return {"input": batch["input"], **images, **truth}


TASKS: dict[str, Task] = {task.name: task for task in (Task("paired", paired=True), Task("unpaired", paired=False))}


def pair_of_labels(batch: Batch, num_labels: int) -> Batch:
    """Label maps and photographs as pairs: the one-hot map is the input, the photograph the target.

    Args:
        batch: ``label``, int64 [b, h, w], and ``image`` [b, 3, h, w].
        num_labels: Labels that occur, "don't care" included; ``input`` is [b, num_labels, h, w] of -1 and 1.
    """
    one_hot = torch.nn.functional.one_hot(batch["label"], num_labels).movedim(-1, 1)
    return {**batch, "input": one_hot.to(batch["image"].dtype) * 2 - 1, "target": batch["image"]}


def find_task(name: str) -> Task:
    """The task of this name.

    Raises:
        ConfigError: There is none; the message ends with the nearest name.
    """
    if name not in TASKS:
        raise ConfigError(f"task: got '{name}', expected a known one; {nearest(name, TASKS)}")
    return TASKS[name]
