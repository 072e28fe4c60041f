"""AlexNet in its one-column form, without its classifier."""

from __future__ import annotations

from torch import nn


def alexnet_layers() -> tuple[nn.Sequential, dict[str, int]]:
    """Return the layers, and the index of the layer of each tap ``relu1`` ... ``relu5``.

    Source: Krizhevsky, One weird trick for parallelizing convolutional neural networks, 2014.
    """
    layers = nn.Sequential(
        *(nn.Conv2d(3, 64, 11, stride=4, padding=2), nn.ReLU(), nn.MaxPool2d(3, stride=2)),
        *(nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, stride=2)),
        *(nn.Conv2d(192, 384, 3, padding=1), nn.ReLU()),
        *(nn.Conv2d(384, 256, 3, padding=1), nn.ReLU()),
        *(nn.Conv2d(256, 256, 3, padding=1), nn.ReLU()),
    )
    return layers, {"relu1": 1, "relu2": 4, "relu3": 7, "relu4": 9, "relu5": 11}
