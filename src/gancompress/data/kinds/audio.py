"""Sounds from a folder of ``.wav`` files."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np
from pydantic import Field
from torch import Tensor

from gancompress.data.config import FolderDataConfig, register_data
from gancompress.data.records import match
from gancompress.data.storage import File
from gancompress.data.tensor_set import TensorFiles
from gancompress.errors import DataError
from gancompress.io.wave_files import open_wave


@register_data
class AudioConfig(FolderDataConfig):
    """Items with "input", a sound [channels, samples] in [-1, 1].

    Attributes:
        files: Folder of the files.
        sample_rate: Samples of a second; files of another rate are refused.
        channels: Channels of every item: 1 (the mean of a file's channels), or as many as the files have.
        seconds: Length of a crop: a random place in training, the centre otherwise. By default files are read whole.
        max_broken: Number of files that cannot be read to skip; one more stops the job.
    """

    kind = "audio"
    has_targets = False
    holds_images = False

    files: str = "{folder}"
    sample_rate: int = Field(ge=1)
    channels: int = Field(default=1, ge=1)
    seconds: float | None = Field(default=None, gt=0)
    max_broken: int = Field(default=0, ge=0)

    def num_views(self) -> int | None:
        """Return 1 without crops. See `DataConfig.num_views`."""
        return 1 if self.seconds is None else None

    def open(self, split: str, augment: bool = False) -> TensorFiles:
        """Open the data set of a split; raises as `DataConfig.open`."""
        files = self._file_set(self.files, split)._replace(suffixes=(".wav",), contents="sound")
        records = self._split(split).choose(match({"input": files}))
        return TensorFiles(records, partial(_read, options=self), augment, self.max_broken)


def _read(file: File, draw: np.random.Generator | None, options: AudioConfig) -> Mapping[str, Tensor]:
    wave = open_wave(file.storage.path(file.name))
    if wave.sample_rate != options.sample_rate:
        raise DataError(
            f"{file.where}: got {wave.sample_rate:,} samples a second, expected {options.sample_rate:,}; sounds are "
            "not resampled: convert the files, or correct sample_rate"
        )
    if options.channels not in (1, wave.num_channels):
        raise DataError(
            f"{file.where}: got {wave.num_channels} channels, expected {options.channels}; correct channels"
        )
    count = wave.num_samples if options.seconds is None else max(1, round(options.seconds * options.sample_rate))
    margin = wave.num_samples - count
    if margin < 0:
        raise DataError(
            f"{file.where}: got {wave.num_samples / wave.sample_rate:.3g} seconds, expected at least "
            f"{options.seconds:g}; reduce seconds, or remove the file"
        )
    first = margin // 2 if draw is None else int(draw.integers(margin + 1))
    samples = wave.read(first, count)
    return {"input": samples.mean(0, keepdim=True) if options.channels == 1 else samples}
