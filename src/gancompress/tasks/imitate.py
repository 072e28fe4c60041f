"""Imitation: inputs of any kind, for which a student returns what an existing teacher returns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from gancompress.data import DataConfig
from gancompress.errors import ConfigError
from gancompress.networks.given import NamedInputs
from gancompress.tasks.task import Task, TaskOptions, register_task
from gancompress.training import Batch

_NO_INPUTS = ("target", "index")
"""Tensors of a batch that are no inputs."""


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

    def prepare(self, batch: Batch, split: str, numbers: Sequence[int], seed: int = 0) -> Batch:
        """Return the batch with ``input``: without one, every tensor but ``target`` is an input of its name."""
        if "input" in batch:
            return batch
        named = {name: each for name, each in batch.items() if isinstance(each, Tensor) and name not in _NO_INPUTS}
        return {**{name: each for name, each in batch.items() if name not in named}, "input": NamedInputs(named)}

    def columns(self, batch: Batch, images: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the columns of a picture: the input, if it is one tensor of several axes, outputs, and the truth."""
        given = batch["input"]
        shown = {"input": given} if isinstance(given, Tensor) and given.dim() > 2 else {}
        return {**shown, **images, **({"truth": batch["target"]} if self.paired else {})}

    def seen(self, batch: Batch, image: Tensor) -> Tensor:
        """Return the output alone, because inputs may have any shape."""
        return image

    def discriminator_channels(self, in_channels: int, out_channels: int) -> int:
        """Return the number of channels of an output."""
        return out_channels

    def answer(self, batch: Batch, teacher_image: Tensor) -> Tensor:
        """Return the truth of the data if it has pairs, else the teacher's output.

        Raises:
            ConfigError: A batch has no truth.
        """
        if self.paired and "target" not in batch:
            raise ConfigError(
                "task: pairs: got data without 'target', expected the truth of every input under this name; name it "
                "so, or leave pairs out"
            )
        return super().answer(batch, teacher_image)

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
    """Imitation of a teacher.

    Attributes:
        pairs: Whether ``target`` in the data is the truth for ``input``. Terms that compare outputs then compare with
            it, unless ``reconstruct: teacher`` is given, and metrics against real outputs are possible.
    """

    kind = "imitate"

    pairs: bool = False

    @property
    def paired(self) -> bool:  # type: ignore[override]
        """True if the data has the truth of every input."""
        return self.pairs

    def build(self, data: DataConfig | None) -> Task:
        """Return the task."""
        return ImitateTask(paired=self.pairs)
