"""Pairs of files of the same name in two folders."""

from __future__ import annotations

from functools import partial

from gancompress.data.config import FileDataConfig, decode_roles, register_data
from gancompress.data.image_set import RecordSet
from gancompress.data.records import match


@register_data
class PairedConfig(FileDataConfig):
    """Items with "input" and "target".

    Attributes:
        input: Folder of the inputs.
        target: Folder of the targets.
        input_ending: End of the names of inputs before their suffix, which the names of their targets do not share.
        target_ending: The same for targets.
    """

    kind = "paired"

    input: str = "{folder}/input"
    target: str = "{folder}/target"
    input_ending: str = ""
    target_ending: str = ""

    def open(self, split: str, augment: bool = False) -> RecordSet:
        """Open the data set of a split; raises as `DataConfig.open`."""
        records = match(
            {
                "input": self._file_set(self.input, split, self.input_ending),
                "target": self._file_set(self.target, split, self.target_ending),
            }
        )
        decode = partial(decode_roles, decoders={role: self._image(role, augment) for role in ("input", "target")})
        return self._record_set(self._split(split).choose(records), decode, split, augment)
