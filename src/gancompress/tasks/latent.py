"""Images from noise: what a generator is given is drawn, and real images are only for the discriminator."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
import torch
from pydantic import BeforeValidator, Field
from torch import Tensor

from gancompress.data.randomness import Purpose, generator
from gancompress.errors import DataError, nearest
from gancompress.options import Options, as_tuple
from gancompress.tasks.task import Task
from gancompress.training import Batch


class LatentOptions(Options):
    """What generators from noise are given.

    Attributes:
        latent_size: Numbers of the noise.
        classes: Names of the classes; the first folder in the name of an image (``cat/0001``) is its class. Empty for
            generators without classes.
    """

    kind: Literal["latent"] = "latent"
    latent_size: Annotated[int, Field(ge=1)] = 128
    classes: Annotated[tuple[str, ...], BeforeValidator(as_tuple)] = ()


@dataclass(frozen=True)
class LatentTask(Task):
    """Draw images that look like real ones, which a batch holds as ``target``.

    ``input`` is one tensor [b, latent_size + number of classes]: standard normal noise, and behind it the one-hot class
    of the real image beside it, so that classes are as frequent among generated images as among real ones. Noise
    depends on the seed, the split and the number of the image alone: training resumes to the bit, and evaluation gives
    every generator the same noise.

    Attributes:
        latent_size: Numbers of the noise.
        classes: Names of the classes; empty for none.
    """

    name: str = "latent"
    paired: bool = False
    latent_size: int = 128
    classes: tuple[str, ...] = ()

    def prepare(self, batch: Batch, split: str, numbers: Sequence[int], seed: int = 0) -> Batch:
        """Noise and classes as ``input``, real images as ``target``.

        Raises:
            DataError: An image lies in no folder of a class.
        """
        noise = torch.from_numpy(np.stack([self._noise(split, number, seed) for number in numbers]))
        target = batch.get("target", batch["input"])
        return {**batch, "input": torch.cat([noise, self._one_hot(batch)], 1), "target": target}

    def names(self, batch: Batch) -> Sequence[str]:
        """None: those of a batch are of the real images beside the noise, which it has nothing to do with."""
        return ()

    def generator_options(self) -> dict[str, Any]:
        """Sizes of noise and classes."""
        return {"latent_size": self.latent_size, "num_classes": len(self.classes)}

    def seen(self, batch: Batch, image: Tensor) -> Tensor:
        """The image, with one plane behind it for each class, 1 for the class of the batch and 0 elsewhere."""
        if not self.classes:
            return image
        classes = batch["input"][:, self.latent_size :].to(image.dtype)
        return torch.cat([image, classes[:, :, None, None].expand(-1, -1, *image.shape[2:])], 1)

    def discriminator_channels(self, in_channels: int, out_channels: int) -> int:
        """Channels of the image, and a plane for each class."""
        return out_channels + len(self.classes)

    def columns(self, batch: Batch, images: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The generated images alone: noise is no picture."""
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
