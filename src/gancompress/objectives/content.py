"""Content of images: where a student is to be like its teacher.

Source: Liu et al., Content-Aware GAN Compression, CVPR 2021, section 3.3.
"""

from __future__ import annotations

import torch
from torch import Tensor

from gancompress.models.content_masks import MaskOptions, NoMask
from gancompress.tasks.task import Task
from gancompress.training import Batch


class Content:
    """Finds the content of images. Where the mask is ``none``, everything is, and nothing is computed."""

    def __init__(self, options: MaskOptions, task: Task) -> None:
        """Load what the mask needs.

        Raises:
            GanCompressError: In one of its kinds, where that cannot be had.
        """
        self.is_everything = isinstance(options, NoMask)
        self._find, self._task = options.load(), task

    @torch.no_grad()
    def of(self, batch: Batch, image: Tensor) -> Tensor | None:
        """Zeros and ones [b, 1, h, w]; None for everything.

        Args:
            batch: A prepared batch.
            image: What the teacher made of it, [b, 3, h, w].

        Raises:
            ConfigError: The mask's network or function does not return what it should.
            DataError: An image's own mask cannot be read or has another size.
        """
        return None if self.is_everything else self._find(image, self._task.names(batch))
