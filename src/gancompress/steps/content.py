"""Check of a content mask on the teacher's images.

Source: Liu et al., Content-Aware GAN Compression, CVPR 2021, section 3.3.
"""

from __future__ import annotations

import torch
from torch import nn

from gancompress.errors import ConfigError
from gancompress.objectives.content import Content
from gancompress.perception.content_masks import MaskOptions
from gancompress.steps.step import Context

NUM_TRIED = 64
"""Images among which some content must be found for a mask to count as working."""

_BATCH_SIZE = 8


@torch.no_grad()
def check_content(options: MaskOptions, teacher: nn.Module, context: Context) -> None:
    """Try a mask on the teacher's images of the first training inputs, before anything is trained.

    Raises:
        ConfigError: None of those images has a pixel of content; or raised by `Content.of`.
        DataError: Raised by `Content.of`.
    """
    content = Content(options, context.task)
    if content.is_everything:
        return
    device, tried, num_pixels = context.accelerator.device, 0, 0
    teacher = teacher.to(device).eval()
    for batch in context.images("train", _BATCH_SIZE, NUM_TRIED):
        mask = content.of(batch, teacher(context.task.encode(batch["input"].to(device))))
        tried, num_pixels = tried + len(batch["input"]), num_pixels + (0 if mask is None else int(mask.sum()))
    if not num_pixels:
        raise ConfigError(
            f"distillation: content: found none in any of the teacher's first {tried} images, expected some; check the "
            f"mask '{options.kind}', or leave it out"
        )
