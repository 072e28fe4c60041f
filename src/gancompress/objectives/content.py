"""Content masks: the image regions in which a student is compared with its teacher.

Source: Liu et al., Content-Aware GAN Compression, CVPR 2021, section 3.3.
"""

from __future__ import annotations

import torch
from torch import Tensor

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
