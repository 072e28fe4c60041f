"""Options of a job's metrics."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from gancompress.data import Classes
from gancompress.evaluation import SEGMENTATION_PROTOCOLS, NetworkSpec, ReferenceCache
from gancompress.evaluation.latent import LatentMetricOptions
from gancompress.options import Options, as_tuple
from gancompress.perception.content_masks import AnyMask


class MetricNetwork(Options):
    """A feature or segmentation network for metrics named after it.

    Attributes:
        path: TorchScript or ONNX file; takes images [b, 3, h, w], RGB in [0, 1].
        published: Published network instead, which is downloaded once: ``mobilenet_v2`` and ``resnet56_cifar10`` for
            distances of features, the latter also for class scores; ``squeezenet1_1`` for perceptual distances.
        size: Height and width of its input, in pixels; images keep their size by default.
        num_classes: Number of classes of a segmentation network.
        ignore_index: Label that a segmentation network ignores.
        protocol: Protocol of a segmentation network, instead of these two: ``cityscapes_drn``, the 19 classes of the
            benchmark, label maps in the size of their files; or ``coco_stuff_deeplab``, 182 classes, three scales.
    """

    path: str | None = None
    published: Literal["mobilenet_v2", "resnet56_cifar10", "squeezenet1_1"] | None = None
    size: Annotated[tuple[int, int] | None, BeforeValidator(as_tuple)] = None
    num_classes: Annotated[int | None, Field(ge=2)] = None
    ignore_index: int = 255
    protocol: Literal["cityscapes_drn", "coco_stuff_deeplab"] | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.path is None) == (self.published is None):
            raise ValueError(
                f"got {'neither' if self.path is None else 'both'} of 'path' and 'published', expected one"
            )
        if self.protocol is not None and self.num_classes is not None:
            raise ValueError("got num_classes beside 'protocol', expected one of them: the protocol has its own")
        return self

    def spec(self) -> NetworkSpec:
        """Return the network's specification for the metrics."""
        path = None if self.path is None else Path(self.path)
        return NetworkSpec(path, self.size, self.num_classes, self.ignore_index, self.protocol, self.published)

    def misfit(self, classes: Classes) -> str | None:
        """Return the reason why a segmentation network cannot score label maps with these classes; None if it can."""
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
    """Metrics of a job and their options.

    Attributes:
        against_real: Metrics against the split's real images, or label maps. The default is for tasks with pairs; other
            jobs have none by default.
        against_teacher: Metrics against the teacher's images of the same inputs.
        networks: Networks that appear in the metrics' names.
        content_mask: Mask of the content of images, for metrics on it (``fd_NETWORK_content``).
        latent: Sample sizes of metrics of generators from noise.
        max_images: Images of a split; all by default.
        batch_size: Images per batch.
        memory_gib: Memory for images that are reused while one network after another is evaluated, in GiB. If they do
            not all fit, they are decoded again for each network.
        reference_folder: Folder of the cached features of real images; ``references`` in the cache of this package by
            default.
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
        """Return the cache of the features of real images."""
        return ReferenceCache(Path(self.reference_folder).expanduser() if self.reference_folder else None)

    def specs(self) -> dict[str, NetworkSpec]:
        """Return the specifications of the networks for the metrics."""
        return {name: network.spec() for name, network in self.networks.items()}
