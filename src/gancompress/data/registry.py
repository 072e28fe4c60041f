"""The registry: every kind of data set, by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gancompress.data.config import DataConfig
from gancompress.data.kinds.aligned import AlignedConfig
from gancompress.data.kinds.cityscapes import CityscapesConfig
from gancompress.data.kinds.coco_stuff import CocoStuffConfig
from gancompress.data.kinds.images import ImagesConfig
from gancompress.data.kinds.labels import LabelsConfig
from gancompress.data.kinds.paired import PairedConfig
from gancompress.data.kinds.procedural import ProceduralConfig
from gancompress.data.kinds.unaligned import UnalignedConfig
from gancompress.data.kinds.webdataset import WebDatasetConfig
from gancompress.errors import nearest
from gancompress.options import OptionsError

DATASETS: dict[str, type[DataConfig]] = {
    "aligned": AlignedConfig,
    "paired": PairedConfig,
    "unaligned": UnalignedConfig,
    "labels": LabelsConfig,
    "cityscapes": CityscapesConfig,
    "coco_stuff": CocoStuffConfig,
    "images": ImagesConfig,
    "webdataset": WebDatasetConfig,
    "procedural": ProceduralConfig,
}


def parse_data(options: Mapping[str, Any]) -> DataConfig:
    """The validated options of a data set.

    Args:
        options: ``kind``, a name in `DATASETS`, and the options of that kind.

    Raises:
        ConfigError: The kind does not exist, or options are unknown or do not fit; all of them in one line.
    """
    kind = options.get("kind")
    if kind not in DATASETS:
        got = "nothing" if kind is None else repr(kind)
        raise OptionsError([("kind", f"got {got}, expected a kind of data set; {nearest(str(kind), DATASETS)}")])
    return DATASETS[kind](**options)
