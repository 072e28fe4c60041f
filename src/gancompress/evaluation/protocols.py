"""Protocols of published segmentation networks for generated images, by name."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SegmentationProtocol:
    """Settings of a comparison of images with label maps, besides the network's weights.

    Attributes:
        num_labels: Classes of the data set's label maps.
        scored: Labels that are scored, in the order of the network's classes; all others are ignored. Empty if the
            network's classes are the labels.
        in_file_size: Whether label maps are compared in the size of their files instead of that of the images.
        scales: Factors of the image size at which the network runs; the largest logits count.
        source: Paper of the network.
    """

    num_labels: int
    scored: tuple[int, ...] = ()
    in_file_size: bool = False
    scales: tuple[float, ...] = (1.0,)
    source: str = ""

    @property
    def num_classes(self) -> int:
        """Number of scored classes."""
        return len(self.scored) or self.num_labels


CITYSCAPES_TRAIN_IDS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
"""The label ids of Cityscapes that its benchmark scores, in the order of its train ids 0 to 18."""

SEGMENTATION_PROTOCOLS: dict[str, SegmentationProtocol] = {
    "cityscapes_drn": SegmentationProtocol(
        num_labels=35,
        scored=CITYSCAPES_TRAIN_IDS,
        in_file_size=True,
        source="DRN-D-105, Yu et al., Dilated Residual Networks, CVPR 2017",
    ),
    "coco_stuff_deeplab": SegmentationProtocol(
        num_labels=182,
        scales=(0.5, 0.75, 1.0),
        source="DeepLabV2 ResNet-101, Chen et al., DeepLab, TPAMI 2018",
    ),
}
"""Protocols of Park et al., SPADE, CVPR 2019, section 4, and Li et al., GAN Compression, CVPR 2020, for GauGAN. The
file of the network takes images [b, 3, h, w], RGB in [0, 1], at one scale, and normalises them."""
