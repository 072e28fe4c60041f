"""Networks of metrics, as they are given."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from gancompress.errors import MetricError
from gancompress.evaluation.images import RESIZE_WORDS, Size
from gancompress.io import file_sha256
from gancompress.perception.load import PUBLISHED
from gancompress.perception.network_file import ONNX_SUFFIX, NetworkFile
from gancompress.perception.weights import WEIGHTS

INCEPTION = "inception"
INCEPTION_SIZE = (299, 299)


@dataclass(frozen=True)
class NetworkSpec:
    """A network that the user gives, for metrics named after it.

    Attributes:
        path: TorchScript or ONNX file of a network that takes images [b, 3, h, w], RGB in [0, 1]. For ``inception`` the
            published weights. None for a published network.
        size: Height and width of its input, in pixels; None leaves images at their size.
        num_classes: Number of scored classes of a segmentation network.
        ignore_index: Label of ignored pixels of a segmentation network.
        protocol: Protocol of a segmentation network, a name in `SEGMENTATION_PROTOCOLS`; determines classes and labels.
        published: Published network instead of a file, a name in `PUBLISHED`.
    """

    path: Path | None
    size: Size | None = None
    num_classes: int | None = None
    ignore_index: int = 255
    protocol: str | None = None
    published: str | None = None

    def __str__(self) -> str:
        """Name the network in messages."""
        return str(self.published or self.path)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of its file, or of its published weights."""
        return WEIGHTS[self.published].sha256 if self.published is not None else file_sha256(self.file)

    @property
    def file(self) -> Path:
        """Its file. Raises MetricError if it has none."""
        if self.path is None:
            raise MetricError(f"{self}: got a published network, expected the path of a file; give 'path' instead")
        return self.path

    def load(self, device: torch.device | str) -> nn.Module:
        """Return the frozen network, whose outputs are a list.

        Raises:
            CheckpointError: The file cannot be found, downloaded or read.
            ConfigError: It is ONNX and onnxruntime is not installed.
        """
        if self.published is not None:
            return PUBLISHED[self.published]().to(device)
        return NetworkFile(self.file, device)

    @property
    def is_differentiable(self) -> bool:
        """True if gradients pass through it, which they do not through ONNX."""
        return self.path is None or self.path.suffix != ONNX_SUFFIX


def checked_spec(name: str, spec: NetworkSpec | None, resizing: str) -> NetworkSpec | None:
    """Return what is given of the network of a metric; None for the published Inception network.

    Raises:
        MetricError: There is no file, or no such resizing.
    """
    if resizing not in RESIZE_WORDS:
        raise MetricError(f"{name}: got resizing '{resizing}', expected {' or '.join(RESIZE_WORDS)}; choose one")
    if spec is None and name != INCEPTION:
        raise MetricError(
            f"{name}: got no file, expected the path of a TorchScript or ONNX network; name one for '{name}'"
        )
    return spec
