"""Two collections of images without pairs."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import chain
from typing import Literal

from gancompress.data.config import FileDataConfig, decode_roles, register_data
from gancompress.data.image_set import ImageSet, Item, RecordReader, RecordSet, Visit, seen
from gancompress.data.randomness import Purpose, generator, permutation
from gancompress.data.records import match
from gancompress.data.storage import File
from gancompress.data.transform import Transform

Domain = Literal["input", "target"]


@register_data
class UnalignedConfig(FileDataConfig):
    """Items with "input" and "target" of different scenes.

    Attributes:
        input: Folder of the source domain.
        target: Folder of the target domain.
    """

    kind = "unaligned"

    input: str = "{folder}A"
    target: str = "{folder}B"

    def open(self, split: str, augment: bool = False) -> UnalignedSet:
        """Open the data set of a split; raises as `DataConfig.open`."""
        readers = [self._domain_reader(domain, split, augment) for domain in ("input", "target")]
        return UnalignedSet(readers[0], readers[1], self.transform, augment)

    def open_domain(self, domain: Domain, split: str, augment: bool = False) -> RecordSet:
        """Open one domain alone, each image once, as "input", for metrics.

        Args:
            domain: The domain.
            split: See `open`.
            augment: See `open`.

        Raises:
            ConfigError: There is no such split.
            DataError: See `open`.
        """
        return RecordSet(self._domain_reader(domain, split, augment), self.transform, augment)

    def _domain_reader(self, domain: Domain, split: str, augment: bool) -> RecordReader:
        records = match({"input": self._file_set(getattr(self, domain), split)})
        chosen = self._split(split).choose(records, role=domain)
        decode = partial(decode_roles, decoders={"input": self._image(domain, augment)})
        return self._reader(chosen, decode, f"{split} {domain}", augment)


class UnalignedSet(ImageSet):
    """Every image of the larger domain once an epoch, each with one of the other domain.

    In training, the order of the targets is drawn again for every epoch; otherwise item i always has target i. The
    smaller domain repeats when it is used up. An item is named after its input.
    """

    def __init__(self, inputs: RecordReader, targets: RecordReader, transform: Transform, augment: bool) -> None:
        self.augment = augment
        self._inputs = inputs
        self._targets = targets
        self._transform = transform

    def __len__(self) -> int:
        """Return the number of images of the larger domain."""
        return max(len(self._inputs.records), len(self._targets.records))

    def item(self, visit: Visit) -> Item:
        """Return the item of a visit; raises as `ImageSet.item`."""
        source = visit.index % len(self._inputs.records)
        partner = self._partner(visit)
        item: Item = {}
        for number, (role, reader, index) in enumerate(
            (("input", self._inputs, source), ("target", self._targets, partner))
        ):
            key = visit.seed, visit.epoch, visit.index, number
            draw = generator(Purpose.VIEW, *key) if self.augment else None
            images = {role: reader.read(index)["input"]}
            item |= seen(images, self._transform, draw, where=reader.records[index].name)
        return {**item, "name": self._inputs.records[source].name, "index": visit.index}

    def _partner(self, visit: Visit) -> int:
        place = visit.index % len(self._targets.records)
        if not self.augment:
            return place
        return int(permutation(Purpose.PARTNER, len(self._targets.records), visit.seed, visit.epoch)[place])

    def files(self) -> Iterator[File]:
        """Yield every file of both domains."""
        records = chain(self._inputs.records, self._targets.records)
        return (file for record in records for file in record.files.values())

    def broken_names(self) -> list[str]:
        """Return the names of records that could not be decoded so far, in any worker."""
        return self._inputs.broken_names() + self._targets.broken_names()
