"""What a generator learns: what a batch is, what the discriminator sees, what a student should reconstruct.

A batch holds ``input``, what the generator takes, and ``target``, real images [b, c, h, w] in [-1, 1], where there are
some. Image translation takes images, [b, c, h, w] too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from gancompress.models.file_form import FileForm
from gancompress.training import Batch

GanMode = Literal["hinge", "lsgan", "vanilla", "wgan"]
"""Forms of the adversarial loss, by their names in `gancompress.losses.ADVERSARIAL`."""

Weight = Annotated[float, Field(ge=0)]
"""Of a term of a loss."""


@dataclass(frozen=True)
class Task:
    """What a generator learns; by itself, to translate images.

    Attributes:
        name: Its key in `gancompress.tasks.TASKS`.
        paired: Whether ``target`` is the right answer to ``input``, and not just any image of the target domain.
        takes_labels: Whether it makes ``input`` of label maps itself.
    """

    name: str
    paired: bool
    takes_labels: bool = False

    def prepare(self, batch: Batch, split: str, numbers: Sequence[int], seed: int = 0) -> Batch:
        """A batch as this task means it; by itself, as it comes.

        Args:
            batch: What the data set gives.
            split: Name of the split.
            numbers: Of each image: its place among all training images served so far, or in the split.
            seed: With split and number it decides whatever is drawn for an image; 0 in evaluation.
        """
        return batch

    def encode(self, held: Tensor) -> Tensor:
        """What generators take, of what a batch holds as ``input``; by itself, just that. Twice is as good as once."""
        return held

    def names(self, batch: Batch) -> Sequence[str]:
        """Names of a batch's inputs; empty where they have none."""
        return list(batch.get("name", ()))

    def generator_options(self) -> dict[str, Any]:
        """Options of the generator's family that follow from the task."""
        return {}

    def real(self, batch: Batch, teacher_image: Tensor | None = None) -> Tensor:
        """What the discriminator is to take for real: input and target side by side where they are a pair.

        Args:
            batch: A prepared batch.
            teacher_image: What the teacher made of it, for tasks that have no other images.
        """
        return self.seen(batch, batch["target"])

    def seen(self, batch: Batch, image: Tensor) -> Tensor:
        """What the discriminator sees of a generated image [b, c, h, w]: condition and image where there are pairs.

        Source: Isola et al., pix2pix, CVPR 2017, equation 1.
        """
        return torch.cat([self.encode(batch["input"]), image], 1) if self.paired else image

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

    def file_form(self, generator: nn.Module, held: Tensor) -> FileForm:
        """A generator as files of it should be; by itself, as it is.

        Args:
            generator: The generator.
            held: An example of what a batch holds as ``input``.
        """
        return FileForm(generator, (held,))


def pair_of_labels(batch: Batch, num_labels: int) -> Batch:
    """Label maps and photographs as pairs: the one-hot map is the input, the photograph the target.

    Args:
        batch: ``label``, int64 [b, h, w], and ``image`` [b, 3, h, w].
        num_labels: Labels that occur, "don't care" included; ``input`` is [b, num_labels, h, w] of -1 and 1.
    """
    one_hot = torch.nn.functional.one_hot(batch["label"], num_labels).movedim(-1, 1)
    return {**batch, "input": one_hot.to(batch["image"].dtype) * 2 - 1, "target": batch["image"]}
