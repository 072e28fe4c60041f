"""Kinds of data sets, one file each, which register themselves."""

from gancompress.data.kinds.aligned import AlignedConfig
from gancompress.data.kinds.arrays import ArraysConfig
from gancompress.data.kinds.audio import AudioConfig
from gancompress.data.kinds.cityscapes import CityscapesConfig
from gancompress.data.kinds.coco_stuff import CocoStuffConfig
from gancompress.data.kinds.images import ImagesConfig
from gancompress.data.kinds.labels import LabelsConfig
from gancompress.data.kinds.noise import NoiseConfig
from gancompress.data.kinds.own import OwnConfig
from gancompress.data.kinds.paired import PairedConfig
from gancompress.data.kinds.procedural import ProceduralConfig
from gancompress.data.kinds.unaligned import UnalignedConfig
from gancompress.data.kinds.webdataset import WebDatasetConfig

__all__ = [
    "AlignedConfig",
    "ArraysConfig",
    "AudioConfig",
    "CityscapesConfig",
    "CocoStuffConfig",
    "ImagesConfig",
    "LabelsConfig",
    "NoiseConfig",
    "OwnConfig",
    "PairedConfig",
    "ProceduralConfig",
    "UnalignedConfig",
    "WebDatasetConfig",
]
