"""Arrays of any shape and range, from a folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Annotated, NamedTuple, Self

import numpy as np
from pydantic import BeforeValidator, Field, model_validator
from torch import Tensor

from gancompress.data.config import FolderDataConfig, register_data
from gancompress.data.records import match
from gancompress.data.storage import File
from gancompress.data.tensor_set import TensorFiles
from gancompress.errors import DataError, nearest
from gancompress.io.array_files import ONLY, StoredArray, open_arrays, plain
from gancompress.options import as_tuple

SUFFIXES = (".npy", ".npz", ".pt", ".pth", ".safetensors")

_Names = Annotated[tuple[str, ...], BeforeValidator(as_tuple)]
_Size = Annotated[int, Field(ge=1)]


@register_data
class ArraysConfig(FolderDataConfig):
    """Items with the arrays of a file: "input" of a file with one, else each under its own name.

    Floats become float32, integers int64. Values are not changed, whatever their range.

    Attributes:
        files: Folder of the files, ``.npy``, ``.npz``, ``.pt`` or ``.safetensors``.
        only: Names of the arrays to take; all by default. A single one becomes "input".
        axes: Names of the axes, for ``crop``: of all arrays (``[mels, frames]``), or by array
            (``{mel: [mels, frames], wave: [frames*256]}``, where an axis has 256 values for each frame).
        crop: Length of a crop along axes by name: a random place in training, the centre otherwise.
        max_broken: Number of files that cannot be read to skip; one more stops the job.
    """

    kind = "arrays"
    has_targets = False
    holds_images = False

    files: str = "{folder}"
    only: _Names = ()
    axes: _Names | dict[str, _Names] = ()
    crop: dict[str, _Size] = Field(default_factory=dict)
    max_broken: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _crops_known_axes(self) -> Self:
        given = self.axes.values() if isinstance(self.axes, dict) else [self.axes]
        known = [_Axis.parse(text).name for axes in given for text in axes]
        for name in self.crop:
            if name not in known:
                hint = nearest(name, known) if known else "name the axes in 'axes'"
                raise ValueError(f"crop: got the axis '{name}', expected one of 'axes'; {hint}")
        return self

    def num_views(self) -> int | None:
        """Return 1 without crops. See `DataConfig.num_views`."""
        return None if self.crop else 1

    def open(self, split: str, augment: bool = False) -> TensorFiles:
        """Open the data set of a split; raises as `DataConfig.open`."""
        files = self._file_set(self.files, split)._replace(suffixes=SUFFIXES, contents="array")
        records = self._split(split).choose(match({"input": files}))
        return TensorFiles(records, partial(_read, options=self), augment, self.max_broken)

    def axes_of(self, name: str) -> tuple[str, ...]:
        """Return the names of the axes of an array; empty if they have none."""
        return self.axes.get(name, ()) if isinstance(self.axes, dict) else self.axes


class _Axis(NamedTuple):
    """An axis: its name, and its values for each unit of the crop."""

    name: str
    factor: int

    @classmethod
    def parse(cls, text: str) -> _Axis:
        name, _, factor = text.partition("*")
        if not name or (factor and not factor.isdigit()):
            raise ValueError(f"axes: got '{text}', expected a name such as frames, or frames*256")
        return cls(name, int(factor or 1))


def _read(file: File, draw: np.random.Generator | None, options: ArraysConfig) -> Mapping[str, Tensor]:
    path = file.storage.path(file.name)
    with open_arrays(path) as stored:
        chosen = _chosen(stored, options.only, file.where)
        starts = _starts(chosen, options, draw, file.where)
        tensors = {}
        for name, array in chosen.items():
            axes = [_Axis.parse(text) for text in options.axes_of(name)]
            part = tuple(
                slice(starts[axis.name] * axis.factor, (starts[axis.name] + options.crop[axis.name]) * axis.factor)
                if axis.name in starts
                else slice(None)
                for axis in axes
            )
            tensors[name] = plain(array.read(part), f"{file.where}: '{name}'")
    return {ONLY: next(iter(tensors.values()))} if len(tensors) == 1 else tensors


def _chosen(stored: Mapping[str, StoredArray], only: Sequence[str], where: str) -> dict[str, StoredArray]:
    for name in only:
        if name not in stored:
            raise DataError(f"{where}: got no array '{name}', expected it; {nearest(name, stored)}")
    return {name: stored[name] for name in only or stored}


def _starts(
    arrays: Mapping[str, StoredArray], options: ArraysConfig, draw: np.random.Generator | None, where: str
) -> dict[str, int]:
    """Return the first unit of the crop along each cropped axis, the same in all arrays of a file."""
    lengths: dict[str, int] = {}
    for name, array in arrays.items():
        axes = options.axes_of(name)
        if axes and len(axes) != len(array.shape):
            raise DataError(
                f"{where}: got '{name}' of shape {list(array.shape)}, expected {len(axes)} axes: {', '.join(axes)}; "
                "correct axes"
            )
        for axis, size in zip(map(_Axis.parse, axes), array.shape, strict=False):
            if axis.name in options.crop:
                lengths[axis.name] = min(lengths.get(axis.name, size // axis.factor), size // axis.factor)
    starts = {}
    for name, length in lengths.items():
        margin = length - options.crop[name]
        if margin < 0:
            raise DataError(
                f"{where}: got {length} {name}, expected at least the crop of {options.crop[name]}; reduce "
                f"crop.{name}, or remove the file"
            )
        starts[name] = margin // 2 if draw is None else int(draw.integers(margin + 1))
    return starts
