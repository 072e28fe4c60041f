"""Image generation from noise: the input is drawn, and real images are only for the discriminator."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import BeforeValidator, Field
from torch import Tensor

from gancompress.data import DataConfig
from gancompress.data.randomness import Purpose, generator
from gancompress.errors import ConfigError, DataError, nearest
from gancompress.networks.families.stylegan2 import StyleGan2Generator
from gancompress.options import as_tuple
from gancompress.tasks.sngan import SNGAN_TERMS, SnganObjective, SnganOptions
from gancompress.tasks.stylegan2 import STYLEGAN2_TERMS, StyleGan2Objective, StyleGan2Options, undivided_batch
from gancompress.tasks.task import Task, TaskOptions, TeacherTraining, register_task
from gancompress.training import Batch, Objective


@register_task
class LatentOptions(TaskOptions):
    """Image generation from noise.

    Attributes:
        latent_size: Length of the noise vector.
        classes: Names of the classes; the first folder in the name of an image (``cat/0001``) is its class. Empty for
            generators without classes.
    """

    kind = "latent"

    latent_size: Annotated[int, Field(ge=1)] = 128
    classes: Annotated[tuple[str, ...], BeforeValidator(as_tuple)] = ()

    def build(self, data: DataConfig | None) -> LatentTask:
        """Return the task."""
        return LatentTask(latent_size=self.latent_size, classes=self.classes)


@dataclass(frozen=True)
class LatentTask(Task):
    """Image generation from noise; a batch holds real images as ``target``.

    ``input`` is one tensor [b, latent_size + number of classes]: standard normal noise, and behind it the one-hot class
    of the real image at the same index, so that classes are as frequent among generated images as among real ones.
    Noise depends only on the seed, the split and the number of the image: training resumes exactly, and evaluation
    gives every generator the same noise.

    Attributes:
        latent_size: Length of the noise vector.
        classes: Names of the classes; empty for none.
    """

    name: str = "latent"
    paired: bool = False
    latent_size: int = 128
    classes: tuple[str, ...] = ()

    def objective(self, training: TeacherTraining) -> Objective:
        """Return the StyleGAN2 objective for a StyleGAN2 generator, the SNGAN objective for any other.

        Raises:
            ConfigError: The batch cannot be divided into the parts that the objective needs.
        """
        generator, discriminator, options = training.generator, training.discriminator, training.training
        if isinstance(generator, StyleGan2Generator):
            size = undivided_batch(training.step, options)
            terms, own = training.terms or STYLEGAN2_TERMS, training.options_of(StyleGan2Options)
            return StyleGan2Objective(self, generator, discriminator, terms, training.image, own, size)
        sngan = training.options_of(SnganOptions)
        parts = sngan.num_critic * training.num_processes
        if options.micro_batches > 1 or options.batch_size % parts:
            raise ConfigError(
                f"{training.step}: training: got batch_size {options.batch_size} and micro_batches "
                f"{options.micro_batches}, expected a multiple of {parts}, for {training.num_processes} processes with "
                f"num_critic {sngan.num_critic}, and micro_batches 1"
            )
        terms = training.terms or SNGAN_TERMS
        return SnganObjective(self, generator, discriminator, terms, training.image, sngan)

    def prepare(self, batch: Batch, split: str, numbers: Sequence[int], seed: int = 0) -> Batch:
        """Return noise and classes as ``input``, real images as ``target``.

        Raises:
            DataError: An image is not in a class folder.
        """
        noise = torch.from_numpy(np.stack([self._noise(split, number, seed) for number in numbers]))
        target = batch.get("target", batch["input"])
        return {**batch, "input": torch.cat([noise, self._one_hot(batch)], 1), "target": target}

    def names(self, batch: Batch) -> Sequence[str]:
        """Return no names: a batch's names belong to the real images, which are independent of the noise."""
        return ()

    def generator_options(self) -> dict[str, Any]:
        """Return the sizes of noise and classes."""
        return {"latent_size": self.latent_size, "num_classes": len(self.classes)}

    def seen(self, batch: Batch, image: Tensor) -> Tensor:
        """Return the image with one plane appended for each class, 1 for the class of the batch and 0 elsewhere."""
        if not self.classes:
            return image
        classes = batch["input"][:, self.latent_size :].to(image.dtype)
        return torch.cat([image, classes[:, :, None, None].expand(-1, -1, *image.shape[2:])], 1)

    def discriminator_channels(self, in_channels: int, out_channels: int) -> int:
        """Return the channels of the image plus a plane for each class."""
        return out_channels + len(self.classes)

    def columns(self, batch: Batch, images: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the generated images only, because noise cannot be shown."""
        return dict(images)

    def _noise(self, split: str, number: int, seed: int) -> np.ndarray:
        draw = generator(Purpose.LATENT, seed, zlib.crc32(split.encode()), number)
        return draw.standard_normal(self.latent_size, dtype=np.float32)

    def _one_hot(self, batch: Batch) -> Tensor:
        if not self.classes:
            return torch.zeros(len(batch["input"]), 0)
        numbers = [self._class_of(name) for name in batch["name"]]
        return torch.nn.functional.one_hot(torch.tensor(numbers), len(self.classes)).float()

    def _class_of(self, name: str) -> int:
        folder = name.partition("/")[0]
        if folder not in self.classes:
            raise DataError(
                f"{name}: got an image in '{folder}', expected a folder of a class; {nearest(folder, self.classes)}; "
                "correct the task's classes or the data's root"
            )
        return self.classes.index(folder)
