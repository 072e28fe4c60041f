from __future__ import annotations

from pathlib import Path

import pytest

from gancompress.data.records import FileSet, Record, Split, check_disjoint, match, places_of
from gancompress.data.storage import File, FolderStorage, open_storage
from gancompress.errors import ConfigError, DataError
from tests.data.pictures import as_zip


def touch(folder: Path, *names: str) -> FileSet:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return FileSet(FolderStorage(folder))


def records(folder: Path, names: list[str]) -> list[Record]:
    return [Record(name, {"input": File(FolderStorage(folder), f"{name}.png")}) for name in names]


def test_match_by_relative_stem(tmp_path: Path) -> None:
    inputs = touch(tmp_path / "a", "x/2.png", "x/10.png", "notes.txt", "1.JPG")
    targets = touch(tmp_path / "b", "1.webp", "x/2.bmp", "x/10.jpeg")
    found = match({"input": inputs, "target": targets})
    assert [(record.name, record.files["target"].name) for record in found] == [
        ("1", "1.webp"), ("x/2", "x/2.bmp"), ("x/10", "x/10.jpeg")
    ]  # fmt: skip


def test_match_by_ending(tmp_path: Path) -> None:
    photos = touch(tmp_path / "a", "aachen/a_0_photo.png")
    labels = touch(tmp_path / "b", "aachen/a_0_ids.png", "aachen/a_0_colour.png")
    found = match({"image": photos._replace(ending="_photo"), "label": labels._replace(ending="_ids")})
    assert [(record.name, record.files["label"].name) for record in found] == [("aachen/a_0", "aachen/a_0_ids.png")]


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        (
            ["1.png"],
            ["1.png", "2.png"],
            "b: got 2.png without a file of the same name in .*a, expected a 'input' for ever",
        ),
        (
            ["1.png", "2.png"],
            ["1.png"],
            "a: got 2.png without a file of the same name in .*b, expected a 'target' for eve",
        ),
        (["1.png", "1.jpg"], ["1.png"], "a: got both 1.jpg and 1.png, expected one file for '1'; remove one"),
        (["1.txt"], ["1.png"], r"a: got no image \(1 files\), expected names that end in .png, .jpg"),
        ([f"{n}.png" for n in range(6)], ["0.png"], "a: got 1.png, 2.png, 3.png and 2 more without"),
    ],
)
def test_wrong_pairing(tmp_path: Path, first: list[str], second: list[str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        match({"input": touch(tmp_path / "a", *first), "target": touch(tmp_path / "b", *second)})


NAMES = [f"img{number}" for number in range(400)]


class TestFraction:
    def chosen(self, names: list[str], fraction: tuple[float, float]) -> list[str]:
        return [record.name for record in Split(fraction=fraction).choose(records(Path("x"), names))]

    def test_share(self) -> None:
        assert len(self.chosen(NAMES, (0, 0.75))) == pytest.approx(300, abs=25)

    def test_parts_make_the_whole(self) -> None:
        parts = [self.chosen(NAMES, part) for part in ((0, 0.5), (0.5, 0.8), (0.8, 1))]
        assert sorted(name for part in parts for name in part) == sorted(NAMES)

    def test_others_do_not_matter(self) -> None:
        some_names = NAMES[::3]
        before = self.chosen(some_names, (0.2, 0.6))
        assert before == [name for name in self.chosen(NAMES, (0.2, 0.6)) if name in some_names]

    def test_places_are_pinned(self) -> None:
        """CRC-32 of the ASCII digits 1 to 9 is the published check value: splits never move between versions."""
        assert places_of(["123456789"]) == [0xCBF43926 / 2**32]


class TestList:
    @pytest.mark.parametrize("spelling", ["b/2", "b/2.png", "data/b/2.png", "  b/2.png\n\n"])
    def test_spellings(self, tmp_path: Path, spelling: str) -> None:
        (tmp_path / "list.txt").write_text(spelling)
        chosen = Split(list_file=str(tmp_path / "list.txt")).choose(records(tmp_path / "data", ["1", "b/2", "3"]))
        assert [record.name for record in chosen] == ["b/2"]

    def test_one_line_for_all_files_of_a_record(self, tmp_path: Path) -> None:
        found = match(
            {"label": touch(tmp_path / "gt", "1.png", "2.png"), "image": touch(tmp_path / "im", "1.jpg", "2.jpg")}
        )
        listing = tmp_path / "train1.meta"
        listing.write_text("gt/2.png im/2.jpg\n")
        assert [record.name for record in Split(list_file=str(listing)).choose(found)] == ["2"]
        listing.write_text("gt/2.png im/1.jpg\n")
        with pytest.raises(
            DataError, match=r"train1.meta: got 'gt/2.png im/1.jpg', expected files of one record, not of 1 "
        ):
            Split(list_file=str(listing)).choose(found)

    def test_one_list_for_each_role(self, tmp_path: Path) -> None:
        (tmp_path / "a.meta").write_text("1.png")
        split = Split(list_file={"input": str(tmp_path / "a.meta")})
        assert [record.name for record in split.choose(records(tmp_path, ["1", "2"]), role="input")] == ["1"]
        assert len(split.choose(records(tmp_path, ["1", "2"]), role="target")) == 2

    def test_missing_names(self, tmp_path: Path) -> None:
        (tmp_path / "list.txt").write_text("1\n7.png\n8.png\n")
        with pytest.raises(
            DataError, match=r"list.txt: got 7.png, 8.png, expected names such as 1; remove these lines"
        ):
            Split(list_file=str(tmp_path / "list.txt")).choose(records(tmp_path, ["1"]))

    @pytest.mark.parametrize("content", [None, b"\xff\xfe\x00"])
    def test_unreadable(self, tmp_path: Path, content: bytes | None) -> None:
        if content is not None:
            (tmp_path / "list.txt").write_bytes(content)
        with pytest.raises(DataError, match=r"list.txt: got .*, expected a text file .*; correct split.list_file"):
            Split(list_file=str(tmp_path / "list.txt")).choose(records(tmp_path, ["1"]))


def test_nothing_left() -> None:
    with pytest.raises(DataError, match=r"split: got none of 1 records such as a, .*; widen the fraction \[0, 1e-06\]"):
        Split(fraction=(0, 1e-6)).choose(records(Path("x"), ["a"]))


def test_fraction_must_ascend() -> None:
    with pytest.raises(ConfigError, match=r"fraction: got \[0.5, 0.5\], expected \[from, to\) with from < to"):
        Split(fraction=[0.5, 0.5])


def test_disjoint(tmp_path: Path) -> None:
    everything = list(touch(tmp_path / "a", "1.png", "2.png", "b/3.png").by_stem().values())
    inner = list(FileSet(FolderStorage(tmp_path / "a/b")).by_stem().values())
    check_disjoint({"train": everything[:2], "test": inner})
    message = "splits: got .*3.png in both 'train' and 'test', expected no file in two splits; give them different"
    with pytest.raises(DataError, match=message):
        check_disjoint({"train": everything, "search": [], "test": inner})


def test_disjoint_in_zips(tmp_path: Path) -> None:
    touch(tmp_path / "a", "t/1.png")
    path = as_zip(tmp_path / "a", tmp_path / "a.zip")
    both = [list(FileSet(open_storage(place)).by_stem().values()) for place in (path, path / "t")]
    with pytest.raises(DataError, match=r"a.zip/t/1.png in both 'train' and 'test'"):
        check_disjoint({"train": both[0], "test": both[1]})
