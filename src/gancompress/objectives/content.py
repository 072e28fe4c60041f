"""Content masks: the image regions in which a student is compared with its teacher.

Source: Liu et al., Content-Aware GAN Compression, CVPR 2021, section 3.3.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from gancompress.errors import ConfigError
from gancompress.networks.given import call
from gancompress.networks.outputs import image_of
from gancompress.perception.content_masks import MaskOptions, NoMask
from gancompress.tasks.task import Task
from gancompress.training import Batch


class Content:
    """Finder of the content of images. With the mask ``none`` the whole image counts and nothing is computed."""

    def __init__(self, options: MaskOptions, task: Task) -> None:
        """Load the network or function of the mask.

        Raises:
            GanCompressError: The mask cannot be loaded; the subclass tells why.
        """
        self.is_everything = isinstance(options, NoMask)
        self._find, self._task = options.load(), task

    @torch.no_grad()
    def of(self, batch: Batch, image: Tensor) -> Tensor | None:
        """Return the content mask, zeros and ones [b, 1, h, w]; None for the whole image.

        Args:
            batch: A prepared batch.
            image: The teacher's image of the batch, [b, 3, h, w].

        Raises:
            ConfigError: The mask's network or function returns something else than a mask.
            DataError: An image's own mask cannot be read or has another size.
        """
        return None if self.is_everything else self._find(image, self._task.names(batch))


@torch.no_grad()
def check_content(
    options: MaskOptions, task: Task, teacher: nn.Module, batches: Iterable[Batch], device: torch.device | str = "cpu"
) -> None:
    """Try a mask on the teacher's images of some inputs, before anything is trained.

    Args:
        options: The mask.
        task: Meaning of the batches.
        teacher: The teacher; moved to the device.
        batches: Prepared batches; none is read if the whole image counts.
        device: Device of the computation.

    Raises:
        ConfigError: None of those images has a pixel of content; or raised by `Content.of`.
        DataError: Raised by `Content.of`.
    """
    content = Content(options, task)
    if content.is_everything:
        return
    tried, num_pixels = 0, 0
    teacher = teacher.to(device).eval()
    for batch in batches:
        mask = content.of(batch, image_of(call(teacher, task.encode(batch["input"].to(device)))))
        tried, num_pixels = tried + len(batch["input"]), num_pixels + (0 if mask is None else int(mask.sum()))
    if not num_pixels:
        raise ConfigError(
            f"distillation: content: found none in any of the teacher's first {tried} images, expected some; check the "
            f"mask '{options.kind}', or leave it out"
        )
