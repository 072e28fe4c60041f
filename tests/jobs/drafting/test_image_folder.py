"""Folders of images: splits, sizes, and what cannot be used."""

from __future__ import annotations

import pytest

from gancompress.data import parse_data
from gancompress.errors import DataError
from gancompress.jobs.drafting.image_folder import ImageFolder, check_no_smaller
from gancompress.jobs.drafting.method import data_of
from gancompress.jobs.drafting.recognition import Recognised
from tests.jobs.drafting.folders import pictures


@pytest.mark.parametrize("count", [3, 4, 11, 60, 199, 200, 1000])
def test_every_split_has_images_and_every_image_has_one_split(count):
    folder = ImageFolder("x", {f"{number:04d}": (64, 64) for number in range(count)}, {"RGB": count})
    counts = folder.counts()
    assert min(counts.values()) >= 1
    assert sum(counts.values()) == count
    if count >= 60:
        assert counts["train"] == pytest.approx(0.8 * count, abs=0.05 * count)


def test_many_images_keep_their_split_when_others_come():
    few, more = (ImageFolder("x", {f"{n:04d}": (64, 64) for n in range(count)}, {}) for count in (300, 900))
    assert few.splits == more.splits
    assert set(few.names("test")) == set(more.names("test")) & set(few.sizes)


def test_the_data_of_a_recipe_has_the_counts_that_are_said(tmp_path):
    folder = ImageFolder.read(str(pictures(tmp_path / "a", 12)), 3)
    data = parse_data(data_of(folder, Recognised("x", 1, 3, 3), (32, 40)))
    assert {split: len(data.open(split)) for split in data.split_names()} == folder.counts()
    data.check_splits()
    item = data.open("train")[0]
    assert item["input"].shape == (3, 32, 40)
    crops = folder.crops(1, (32, 40), 3)
    assert (crops[0] == item["input"]).all()


def test_sizes_and_modes_are_found(tmp_path):
    pictures(tmp_path / "a", 3)
    pictures(tmp_path / "a" / "grey", 2, (64, 36), "L")
    folder = ImageFolder.read(str(tmp_path / "a"), 3)
    assert (folder.usual, folder.smallest, dict(folder.modes)) == ((40, 48), (40, 36), {"RGB": 3, "L": 2})
    assert "mostly 40x48, at least 40x36 (height x width); 3 RGB, 2 L" in folder.lines()[0]


def test_an_image_that_is_cut_off_is_found(tmp_path):
    folder = pictures(tmp_path / "a", 4)
    content = (folder / "002.png").read_bytes()
    (folder / "002.png").write_bytes(content[: len(content) // 2])
    with pytest.raises(
        DataError, match=r"a: got 1 of 4 images that cannot be read .*002\.png.*; repair or remove them"
    ):
        ImageFolder.read(str(folder), 3)


def test_two_images_are_too_few(tmp_path):
    with pytest.raises(DataError, match="got 2 images, expected at least 3: some to train on"):
        ImageFolder.read(str(pictures(tmp_path / "a", 2)), 3)


def test_small_images_are_named():
    folder = ImageFolder("photos", {"a": (64, 64), "b": (20, 64), "c": (64, 10)}, {"RGB": 3})
    with pytest.raises(DataError, match=r"photos: got b, c smaller than 32x32 .*b has 20x64\), expected at least that"):
        check_no_smaller(folder, (32, 32), "the smallest crop")
