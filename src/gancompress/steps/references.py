"""Cache key of a split's reference features."""

from __future__ import annotations

import json
from hashlib import sha256

from torch import Tensor

from gancompress.evaluation import content_digest
from gancompress.steps.step import Context

_IRRELEVANT = {"root", "cache", "max_broken", "splits"}
"""Options of a data set that change the location of images, not their content."""


def split_digest(context: Context, split: str, max_images: int | None = None) -> str:
    """Return a digest of everything that the images of a split depend on, as one hexadecimal number.

    It covers the bytes of all files of the split, in a folder, a zip or shards; the options of the data set; and its
    first item, which depends on the decoding, resizing and drawing of this version. So the key stays the same if the
    files move, and images that are drawn without files have the same key as long as they are drawn alike.

    Args:
        context: Context with the data.
        split: Name of the split.
        max_images: Number of its first items to include; all by default.

    Raises:
        ConfigError: There is no such split.
        DataError: It cannot be read.
    """
    dataset = context.data.open(split)
    options = context.data.model_dump(mode="json")
    described = {name: value for name, value in options.items() if name not in _IRRELEVANT}
    described["split"] = [split, options.get("splits", {}).get(split)]
    described["num_images"] = len(dataset) if max_images is None else min(max_images, len(dataset))
    first = next(iter(context.images(split, 1)), {})
    described["first"] = {role: _digest(value) for role, value in first.items() if isinstance(value, Tensor)}
    contents = (file.storage.read(file.name) for file in dataset.files())
    return content_digest(contents, json.dumps(described, sort_keys=True))


def _digest(images: Tensor) -> str:
    return sha256(images.cpu().contiguous().numpy().tobytes()).hexdigest()
