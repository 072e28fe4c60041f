"""VGG-16 and VGG-19 (configurations D and E) without their classifiers."""

from __future__ import annotations

from torch import nn

_STAGE_CHANNELS = (64, 128, 256, 512, 512)
_STAGE_DEPTHS = {"vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}


def vgg_layers(name: str) -> tuple[nn.Sequential, dict[str, int]]:
    """Return the layers of ``vgg16`` or ``vgg19``, and the index of the layer of each tap ``relu1_1`` ... ``relu5_4``.

    Source: Simonyan and Zisserman, Very Deep Convolutional Networks, ICLR 2015, table 1.
    """
    layers: list[nn.Module] = []
    taps: dict[str, int] = {}
    in_channels = 3
    for stage, (channels, depth) in enumerate(zip(_STAGE_CHANNELS, _STAGE_DEPTHS[name], strict=True), start=1):
        for number in range(1, depth + 1):
            layers += [nn.Conv2d(in_channels, channels, 3, padding=1), nn.ReLU()]
            taps[f"relu{stage}_{number}"] = len(layers) - 1
            in_channels = channels
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers), taps
