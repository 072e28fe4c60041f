"""Networks of metrics, as they are given."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gancompress.errors import MetricError
from gancompress.evaluation.images import RESIZE_WORDS, Size

INCEPTION = "inception"
INCEPTION_SIZE = (299, 299)


@dataclass(frozen=True)
class NetworkSpec:
    """A network that the user gives, for metrics named after it.

    Attributes:
        path: TorchScript or ONNX file of a network that takes images [b, 3, h, w], RGB in [0, 1]. For ``inception`` the
            published weights.
        size: Height and width of its input, in pixels; None leaves images at their size.
        num_classes: Number of scored classes of a segmentation network.
        ignore_index: Label of ignored pixels of a segmentation network.
        protocol: Protocol of a segmentation network, a name in `SEGMENTATION_PROTOCOLS`; determines classes and labels.
    """

    path: Path
    size: Size | None = None
    num_classes: int | None = None
    ignore_index: int = 255
    protocol: str | None = None


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
