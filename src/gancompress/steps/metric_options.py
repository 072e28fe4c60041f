"""What a job measures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from gancompress.data import Classes
from gancompress.metrics import SEGMENTATION_PROTOCOLS, NetworkSpec, ReferenceCache
from gancompress.metrics.latent import LatentMetricOptions
from gancompress.models.content_masks import AnyMask
from gancompress.options import Options, as_tuple


class MetricNetwork(Options):
    """A feature or segmentation network for metrics named after it.

    Attributes:
        path: TorchScript or ONNX file; takes images [b, 3, h, w], RGB in [0, 1].
        size: Height and width that it wants, in pixels; images are taken as they are where left out.
        num_classes: Of a segmentation network.
        ignore_index: Of a segmentation network: the label that does not count.
        protocol: Of a segmentation network, in the place of the two: ``cityscapes_drn``, the 19 classes of the
            benchmark, label maps in the size of their files; or ``coco_stuff_deeplab``, 182 classes, three scales.
    """

    path: str
    size: Annotated[tuple[int, int] | None, BeforeValidator(as_tuple)] = None
    num_classes: Annotated[int | None, Field(ge=2)] = None
    ignore_index: int = 255
    protocol: Literal["cityscapes_drn", "coco_stuff_deeplab"] | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.protocol is not None and self.num_classes is not None:
            raise ValueError("got num_classes beside 'protocol', expected one of them: the protocol has its own")
        return self

    def spec(self) -> NetworkSpec:
        """As the metrics take it."""
        return NetworkSpec(Path(self.path), self.size, self.num_classes, self.ignore_index, self.protocol)

    def misfit(self, classes: Classes) -> str | None:
        """Why a segmentation network cannot score label maps with these classes; None where it can, or is no such."""
        if self.protocol is not None:
            wanted = SEGMENTATION_PROTOCOLS[self.protocol].num_labels
            if wanted == classes.num_classes:
                return None
            return (
                f"protocol: got {self.protocol}, which is for label maps of {wanted} classes, but the data set has "
                f"{classes.num_classes}; give num_classes and ignore_index of a network for these"
            )
        if self.num_classes is None:
            return None
        if self.num_classes != classes.num_classes:
            return (
                f"num_classes: got {self.num_classes}, but the label maps of the data set have {classes.num_classes} "
                "classes; correct it, or take a network for these classes"
            )
        if classes.ignore and self.ignore_index != classes.num_classes:
            return (
                f"ignore_index: got {self.ignore_index}, expected {classes.num_classes}, the label of pixels that the "
                "data set's classes ignore"
            )
        return None


class MetricOptions(Options):
    """What is measured.

    Attributes:
        against_real: Metrics against the split's real images, or label maps. The default is for tasks with pairs;
            other jobs compare nothing unless told what.
        against_teacher: Metrics against what the teacher makes of the same inputs.
        networks: Networks that the metrics' names speak of.
        content_mask: Where the content of images is, for metrics of it (``fd_NETWORK_content``).
        latent: How much is drawn for metrics of generators from noise.
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
    content_mask: AnyMask | None = None
    latent: LatentMetricOptions = LatentMetricOptions()
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
