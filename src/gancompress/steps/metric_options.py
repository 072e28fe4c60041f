"""What a job measures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field

from gancompress.metrics import NetworkSpec, ReferenceCache
from gancompress.options import Options, as_tuple


class MetricNetwork(Options):
    """A feature or segmentation network for metrics named after it.

    Attributes:
        path: TorchScript or ONNX file; takes images [b, 3, h, w], RGB in [0, 1].
        size: Height and width that it wants, in pixels; images are taken as they are where left out.
        num_classes: Of a segmentation network.
        ignore_index: Of a segmentation network: the label that does not count.
    """

    path: str
    size: Annotated[tuple[int, int] | None, BeforeValidator(as_tuple)] = None
    num_classes: Annotated[int | None, Field(ge=2)] = None
    ignore_index: int = 255

    def spec(self) -> NetworkSpec:
        """As the metrics take it."""
        return NetworkSpec(Path(self.path), self.size, self.num_classes, self.ignore_index)


class MetricOptions(Options):
    """What is measured.

    Attributes:
        against_real: Metrics against the split's real images, or label maps. The default is for tasks with pairs;
            other jobs compare nothing unless told what.
        against_teacher: Metrics against what the teacher makes of the same inputs.
        networks: Networks that the metrics' names speak of.
        max_images: Of a split; all where left out.
        batch_size: Images at once.
        memory_gib: Images that are kept in memory while one network after the other is measured, in GiB. What does not
            fit is decoded anew for each network.
        reference_folder: Where features of real images are kept between runs; ``references`` in the cache of this
            package where left out.
    """

    against_real: Annotated[tuple[str, ...], BeforeValidator(as_tuple)] = ("psnr", "ssim")
    against_teacher: Annotated[tuple[str, ...], BeforeValidator(as_tuple)] = ("psnr", "ssim")
    networks: dict[str, MetricNetwork] = Field(default_factory=dict)
    max_images: Annotated[int | None, Field(ge=1)] = None
    batch_size: Annotated[int, Field(ge=1)] = 16
    memory_gib: Annotated[float, Field(ge=0)] = 2.0
    reference_folder: str | None = None

    def reference_cache(self) -> ReferenceCache:
        """Where features of real images are kept."""
        return ReferenceCache(Path(self.reference_folder).expanduser() if self.reference_folder else None)

    def specs(self) -> dict[str, NetworkSpec]:
        """The networks as the metrics take them."""
        return {name: network.spec() for name, network in self.networks.items()}
