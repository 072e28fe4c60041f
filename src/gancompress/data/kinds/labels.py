"""Photographs and what is in them: label maps, and optionally instance maps."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal

from gancompress.data.config import FileDataConfig, decode_roles
from gancompress.data.decoding import LOSSLESS_SUFFIXES, Decoded, Decoding
from gancompress.data.image_set import RecordSet
from gancompress.data.label_maps import Classes, decode_instance, decode_label
from gancompress.data.records import match
from gancompress.data.storage import File


class LabelsConfig(FileDataConfig):
    """Items with "label" and "image", and with "instance" where there are instance maps.

    Attributes:
        images: Folder of the photographs.
        labels: Folder of the label maps, PNG or BMP.
        instances: Folder of the instance maps, PNG or BMP; None where there are none.
        image_ending: What the name of a photograph ends with before its suffix, and its label map's does not
            (``_leftImg8bit``).
        label_ending: The same for label maps (``_gtFine_labelIds``); other files of the folder are passed over.
        instance_ending: The same for instance maps.
        classes: What the values of a label map mean.
    """

    kind: Literal["labels"] = "labels"
    images: str = "{folder}/images"
    labels: str = "{folder}/labels"
    instances: str | None = None
    image_ending: str = ""
    label_ending: str = ""
    instance_ending: str = ""
    classes: Classes

    def open(self, split: str, augment: bool = False) -> RecordSet:
        """The data set of a split; raises as `DataConfig.open`."""
        file_sets = {
            "label": self._file_set(self.labels, split, self.label_ending)._replace(suffixes=LOSSLESS_SUFFIXES),
            "image": self._file_set(self.images, split, self.image_ending),
        }
        if self.instances is not None:
            instances = self._file_set(self.instances, split, self.instance_ending)
            file_sets["instance"] = instances._replace(suffixes=LOSSLESS_SUFFIXES)
        decoders = {"image": self._rgb(augment), **discrete_decoders(self.classes, self.decoding)}
        records = self.splits[split].choose(match(file_sets))
        return self._record_set(records, partial(decode_roles, decoders=decoders), split, augment)


def discrete_decoders(classes: Classes, decoding: Decoding) -> dict[str, Callable[[File], Decoded]]:
    """How label and instance maps are decoded."""
    return {
        "label": partial(decode_label, classes=classes, decoding=decoding),
        "instance": partial(decode_instance, decoding=decoding),
    }
