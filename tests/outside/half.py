"""A mask: the left part of an image is content."""

import torch

from gancompress.perception.content_masks import MaskOptions, register_mask


@register_mask
class Half(MaskOptions):
    kind = "half"

    part: float = 0.5

    def load(self):
        def mask(images, names):
            columns = torch.arange(images.shape[3], device=images.device) < self.part * images.shape[3]
            return columns.to(images.dtype).expand(len(images), 1, images.shape[2], -1)

        return mask
