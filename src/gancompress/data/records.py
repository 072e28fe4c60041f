"""Records: the files that belong together as one item, found by their names and chosen by a split."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Annotated, NamedTuple, Self

from pydantic import Field, model_validator

from gancompress.data.decoding import IMAGE_SUFFIXES
from gancompress.data.storage import File, Storage
from gancompress.errors import DataError
from gancompress.options import Options


@dataclass(frozen=True)
class Record:
    """Files of one item, by role, under the name that they share: relative, without the suffix."""

    name: str
    files: Mapping[str, File]


class FileSet(NamedTuple):
    """Files of one role: those in a storage whose names have the stated ending and suffix."""

    storage: Storage
    suffixes: tuple[str, ...] = IMAGE_SUFFIXES
    ending: str = ""
    """End of a name before its suffix, such as ``_labelIds``; not part of the name of the record."""
    contents: str = "image"
    """Content of a file, for messages."""

    def by_stem(self) -> dict[str, File]:
        """Return the files by the name of their record, in natural order.

        Raises:
            DataError: There are none, or two differ only in their suffix.
        """
        found: dict[str, File] = {}
        names = self.storage.names()
        for name in names:
            path = PurePosixPath(name)
            stem = path.with_suffix("").as_posix()
            if path.suffix.lower() not in self.suffixes or not stem.endswith(self.ending):
                continue
            stem = stem.removesuffix(self.ending)
            if stem in found:
                raise DataError(
                    f"{self.storage.where}: got both {found[stem].name} and {name}, expected one file for '{stem}'; "
                    "remove one"
                )
            found[stem] = File(self.storage, name)
        if not found:
            raise DataError(
                f"{self.storage.where}: got no {self.contents} ({len(names)} files), expected names that end in "
                f"{', '.join(self.ending + suffix for suffix in self.suffixes)}; correct the folder"
            )
        return found


def match(file_sets: Mapping[str, FileSet]) -> list[Record]:
    """Match files by name: one record for each name, with its file of every role.

    Args:
        file_sets: Files by role. A single role makes a record of every file.

    Raises:
        DataError: A role has no files, or a file has no partner of the same name.
    """
    by_role = {role: files.by_stem() for role, files in file_sets.items()}
    first, *others = by_role
    for other in others:
        for role, partner in ((first, other), (other, first)):
            lonely = [file.name for stem, file in by_role[role].items() if stem not in by_role[partner]]
            if lonely:
                raise DataError(
                    f"{file_sets[role].storage.where}: got {some(lonely)} without a file of the same name in "
                    f"{file_sets[partner].storage.where}, expected a '{partner}' for every '{role}'; "
                    "add the missing files, or name both alike"
                )
    return [Record(stem, {role: files[stem] for role, files in by_role.items()}) for stem in by_role[first]]


Fraction = Annotated[float, Field(ge=0, le=1)]


class Split(Options):
    """Part of the files of a data set. All given conditions apply together.

    Attributes:
        folder: Replacement of ``{folder}`` in the paths of the data set.
        list_file: A text file that names the records, one per line, with or without suffix and folder; a line may
            name all the files of a record. Or one such file for each role of an unaligned set.
        fraction: The records whose name hashes into [from, to), of 0 to 1. A name keeps its side of the split when
            others are added or removed; the share is met on average.
        exact: Meet the share of ``fraction`` exactly: records are ranked by the hash of their names. Names may then
            change sides when others are added or removed.
    """

    folder: str = ""
    list_file: str | dict[str, str] | None = None
    fraction: tuple[Fraction, Fraction] = Field(default=(0.0, 1.0), strict=False)
    exact: bool = False

    @model_validator(mode="after")
    def _fraction_ascends(self) -> Self:
        if self.fraction[0] >= self.fraction[1]:
            raise ValueError(f"fraction: got {list_text(self.fraction)}, expected [from, to) with from < to")
        return self

    def choose(self, records: Sequence[Record], role: str = "") -> list[Record]:
        """Return the records of this split, in their order.

        Args:
            records: All of them.
            role: Role whose list file applies, if there is one for each role.

        Raises:
            DataError: A listed record does not exist or mixes two, the list cannot be read, or nothing is left.
        """
        chosen = list(records)
        listing = self.list_file.get(role) if isinstance(self.list_file, dict) else self.list_file
        if listing is not None:
            names = _listed_names(Path(listing).expanduser(), records)
            chosen = [record for record in chosen if record.name in names]
        places = places_of([record.name for record in chosen], self.exact)
        low, high = self.fraction
        chosen = [record for record, place in zip(chosen, places, strict=True) if low <= place < high]
        if not chosen:
            raise DataError(
                f"split: got none of {len(records)} records such as {records[0].name}, expected at least one; "
                f"widen the fraction {list_text(self.fraction)} or the list_file"
            )
        return chosen


def trained_and_held_out(share: float) -> dict[str, Split]:
    """Return splits of a data set with ``train`` and ``val``: part of ``train`` for the search, ``val`` as test.

    Args:
        share: Fraction of ``train`` that is trained on.
    """
    return {
        "train": Split(folder="train", fraction=(0.0, share)),
        "search": Split(folder="train", fraction=(share, 1.0)),
        "test": Split(folder="val"),
    }


def unsplit() -> dict[str, Split]:
    """Return splits of data without a folder for each: eight tenths to train, a tenth each for search and test."""
    bounds = {"train": (0.0, 0.8), "search": (0.8, 0.9), "test": (0.9, 1.0)}
    return {name: Split(fraction=fraction, exact=True) for name, fraction in bounds.items()}


def places_of(names: Sequence[str], exact: bool = False) -> list[float]:
    """Hash names to their places in [0, 1): of each name alone or, if exact, evenly by rank, from 0 on."""
    places = [zlib.crc32(name.encode()) / 2**32 for name in names]
    if not exact:
        return places
    ranks = {index: rank for rank, index in enumerate(sorted(range(len(names)), key=lambda i: (places[i], names[i])))}
    return [(ranks[index] + 1) / len(names) - 1e-9 for index in range(len(names))]


def _listed_names(path: Path, records: Sequence[Record]) -> set[str]:
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"{path}: got {error}, expected a text file with one name per line; correct split.list_file"
        ) from None
    known = {spelling: record.name for record in records for spelling in _spellings(record)}
    names: set[str] = set()
    missing = []
    for line in filter(None, lines):
        meant = {known.get(token, "") for token in ([line] if line in known else line.split())}
        if "" in meant:
            missing.append(line)
        elif len(meant) > 1:
            raise DataError(f"{path}: got '{line}', expected files of one record, not of {' and '.join(sorted(meant))}")
        else:
            names |= meant
    if missing:
        raise DataError(
            f"{path}: got {some(missing)}, expected names such as {next(iter(records)).name}; "
            "remove these lines, or correct the folder"
        )
    return names


def _spellings(record: Record) -> Iterable[str]:
    """Yield every spelling of a record that a list may use, including the ends of full paths."""
    yield record.name
    for file in record.files.values():
        yield file.name
        parents = PurePosixPath(Path(file.storage.where).as_posix()).parts
        for depth in range(1, 1 + min(3, len(parents))):
            yield "/".join((*parents[-depth:], file.name))


def check_disjoint(splits: Mapping[str, Iterable[File]]) -> None:
    """Check that no two splits share a file: nothing may be selected, or reported, on training data.

    Args:
        splits: The files of each split.

    Raises:
        DataError: Two splits share files; the message names both and some of the files.
    """
    owner: dict[str, str] = {}
    for split, files in splits.items():
        places = {f"{Path(file.storage.where).resolve()}/{file.name}" for file in files}
        shared = sorted(places & owner.keys())
        if shared:
            raise DataError(
                f"splits: got {some(shared)} in both '{owner[shared[0]]}' and '{split}', expected no file in two "
                "splits; give them different folders, lists or fractions"
            )
        owner |= dict.fromkeys(places, split)


def some(names: Iterable[str]) -> str:
    """Format the first few names and the number of the others."""
    names = list(names)
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def list_text(numbers: Iterable[float]) -> str:
    """Format numbers as a list in a recipe."""
    return f"[{', '.join(f'{number:g}' for number in numbers)}]"
