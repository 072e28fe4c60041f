"""Data: image sets from files or procedural scenes, by name, and batches for training and evaluation.

An item is a dict. Images are float32 [3, h, w] in [-1, 1], RGB; maps are int64 [h, w].

=================  =========================================================================
"input"            Input of the generator.
"target"           Expected output: of the same scene, or (``unaligned``) of another.
"image"            The photograph of a labelled item.
"label"            Classes 0 to ``num_classes - 1``, and ``num_classes`` for "don't care". The task makes it one-hot.
"instance"         Numbers of objects; `instance_edges` marks their borders.
"name", "index"    Name of the record, relative and without suffix; its number in the data set.
=================  =========================================================================

The kind decides which of them there are: ``aligned``, ``paired``, ``unaligned`` and ``procedural`` have input and
target, ``labels``, ``cityscapes`` and ``coco_stuff`` have label, image and optionally instance, ``images`` has input,
``webdataset`` has the roles in its options. All images of an item have one size and show the same view, except in
``unaligned``. A batch has the same keys: tensors [b, ...], a list of names.

    transform = {"load_size": 286, "crop_size": 256}
    config = parse_data({"kind": "aligned", "root": "edges2shoes.zip", "transform": transform})
    config.check_splits()
    batches = make_loader(config.open("train", augment=True), batch_size=4, seed=0, start_image=1200, num_workers=4)
"""

from gancompress.data import kinds  # noqa: F401
from gancompress.data.config import DATASETS, AnyData, DataConfig, parse_data, register_data
from gancompress.data.image_set import ImageSet, Item, Visit
from gancompress.data.label_maps import Classes, instance_edges
from gancompress.data.loader import Batch, Loader, make_loader, make_ordered_loader

__all__ = [
    "DATASETS",
    "AnyData",
    "Batch",
    "Classes",
    "DataConfig",
    "ImageSet",
    "Item",
    "Loader",
    "Visit",
    "instance_edges",
    "make_loader",
    "make_ordered_loader",
    "parse_data",
    "register_data",
]
