"""Photographs with label maps, and optionally instance maps."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from gancompress.data.config import FileDataConfig, decode_roles, register_data
from gancompress.data.decoding import LOSSLESS_SUFFIXES, Decoded, Decoding
from gancompress.data.image_set import RecordReader, RecordSet
from gancompress.data.label_maps import Classes, decode_instance, decode_label
from gancompress.data.records import FileSet, Record, match
from gancompress.data.storage import File
from gancompress.data.transform import Transform


class LabelledConfig(FileDataConfig):
    """Items with "label" and "image", and with "instance" if there are instance maps, from folders.

    Attributes:
        images: Folder of the photographs.
        labels: Folder of the label maps, PNG or BMP.
        instances: Folder of the instance maps, PNG or BMP; None if there are none.
        image_ending: End of the names of photographs before their suffix, which the names of their label maps do not
            share (``_leftImg8bit``).
        label_ending: The same for label maps (``_gtFine_labelIds``); other files of the folder are ignored.
        instance_ending: The same for instance maps.
        classes: Meaning of the values of a label map.
    """

    images: str = "{folder}/images"
    labels: str = "{folder}/labels"
    instances: str | None = None
    image_ending: str = ""
    label_ending: str = ""
    instance_ending: str = ""
    classes: Classes

    def open(self, split: str, augment: bool = False) -> RecordSet:
        """Open the data set of a split; raises as `DataConfig.open`."""
        decoders = {"image": self._image("image", augment), **discrete_decoders(self.classes, self.decoding)}
        return self._record_set(self._records(split), partial(decode_roles, decoders=decoders), split, augment)

    def open_labels(self, split: str) -> RecordSet:
        """Open the label maps of a split alone, in the size of their files, with the same item numbers as `open`.

        Raises:
            ConfigError: There is no such split.
            DataError: Files are missing or do not belong together.
        """
        records = [Record(record.name, {"label": record.files["label"]}) for record in self._records(split)]
        decoders = {"label": discrete_decoders(self.classes, self.decoding)["label"]}
        as_they_are = self.model_copy(update={"transform": Transform(resize="none"), "cache": None})
        decode = partial(decode_roles, decoders=decoders)
        reader = RecordReader(records, decode, as_they_are, augment=False, settings="")
        return RecordSet(reader, as_they_are.transform, augment=False)

    def _records(self, split: str) -> list[Record]:
        file_sets = {
            "label": self._maps(self.labels, split, self.label_ending),
            "image": self._file_set(self.images, split, self.image_ending),
        }
        if self.instances is not None:
            file_sets["instance"] = self._maps(self.instances, split, self.instance_ending)
        return self._split(split).choose(match(file_sets))

    def _maps(self, path: str, split: str, ending: str) -> FileSet:
        return self._file_set(path, split, ending)._replace(suffixes=LOSSLESS_SUFFIXES)


@register_data
class LabelsConfig(LabelledConfig):
    """Items with "label" and "image", and with "instance" if there are instance maps, from any folders."""

    kind = "labels"


def discrete_decoders(classes: Classes, decoding: Decoding) -> dict[str, Callable[[File], Decoded]]:
    """Return the decoders of label and instance maps."""
    return {
        "label": partial(decode_label, classes=classes, decoding=decoding),
        "instance": partial(decode_instance, decoding=decoding),
    }
