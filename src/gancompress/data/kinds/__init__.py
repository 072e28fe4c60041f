"""Kinds of data sets, one file each, which register themselves."""

from gancompress.data.kinds.aligned import AlignedConfig
from gancompress.data.kinds.cityscapes import CityscapesConfig
from gancompress.data.kinds.coco_stuff import CocoStuffConfig
from gancompress.data.kinds.images import ImagesConfig
from gancompress.data.kinds.labels import LabelsConfig
from gancompress.data.kinds.paired import PairedConfig
from gancompress.data.kinds.procedural import ProceduralConfig
from gancompress.data.kinds.unaligned import UnalignedConfig
from gancompress.data.kinds.webdataset import WebDatasetConfig

__all__ = [
    "AlignedConfig",
    "CityscapesConfig",
    "CocoStuffConfig",
    "ImagesConfig",
    "LabelsConfig",
    "PairedConfig",
    "ProceduralConfig",
    "UnalignedConfig",
    "WebDatasetConfig",
]
