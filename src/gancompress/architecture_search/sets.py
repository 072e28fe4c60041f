"""The config sets of the once-for-all paper: the choices of every slot, narrowest first.

Source: Li et al., GAN Compression, CVPR 2020 (released config sets).
"""

from __future__ import annotations

_TO_32 = (32, 40, 48)
_TO_24 = (24, *_TO_32)
_BY_8 = (16, 24, 32, 40, 48, 56, 64)

CONFIG_SETS: dict[str, tuple[tuple[int, ...], ...]] = {
    "resnet-channels-48": ((32, 48),) * 2 + (_TO_32,) * 4 + ((16, 24, 32, 48),) * 2,
    "resnet-channels-32": ((16, 24, 32),) * 8,
    "resnet-channels-64-cyclegan": ((16, 24, 32, 48, 64),) * 8,
    "resnet-channels-64-pix2pix": (_BY_8,) * 8,
    "spade-channels-48": (_TO_32,) * 5 + (_TO_24,) * 3,
    "spade-channels-64": ((*_TO_32, 64),) * 5 + ((*_TO_24, 64),) * 3,
    "spade-channels-64-coco": ((*_TO_24, 64),) * 8,
    "spade-channels-64-2": (_BY_8,) * 8,
}
