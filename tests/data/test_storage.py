from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest

from gancompress.data.storage import Storage, ZipStorage, natural_key, open_storage
from gancompress.errors import DataError
from tests.data.pictures import as_zip, save_many


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_many(tmp_path / "photos/train", 12)
    save_many(tmp_path / "photos/test", 2)
    (tmp_path / "photos/.hidden").write_text("x")
    (tmp_path / "photos/__MACOSX").mkdir()
    (tmp_path / "photos/__MACOSX/img0.png").write_text("x")
    return tmp_path / "photos"


def contents(storage: Storage) -> dict[str, bytes]:
    return {name: storage.read(name) for name in storage.names()}


@pytest.mark.parametrize("inside", ["", "train"])
def test_zip_equals_folder(folder: Path, tmp_path: Path, inside: str) -> None:
    zipped = open_storage(as_zip(folder, tmp_path / "photos.zip") / inside)
    plain = open_storage(folder / inside)
    assert isinstance(zipped, ZipStorage)
    assert contents(zipped) == contents(plain)
    assert zipped.names() == plain.names()
    assert all(zipped.num_bytes(name) == plain.num_bytes(name) == len(plain.read(name)) for name in plain.names())


def test_order_is_natural(folder: Path) -> None:
    names = open_storage(folder / "train").names()
    assert names == [f"img{number}.png" for number in range(12)]
    assert sorted(["b1", "a10b2", "a10b10", "a2", "2", "10", "²"], key=natural_key) == [
        "2", "10", "a2", "a10b2", "a10b10", "b1", "²"
    ]  # fmt: skip


@pytest.mark.parametrize("zipped", [False, True])
def test_fingerprint_follows_the_content(folder: Path, tmp_path: Path, zipped: bool) -> None:
    def fingerprint() -> str:
        path = as_zip(folder, tmp_path / "photos.zip") if zipped else folder
        return open_storage(path).fingerprint("train/img0.png")

    before = fingerprint()
    assert fingerprint() == before
    (folder / "train/img0.png").write_bytes((folder / "train/img1.png").read_bytes())
    assert fingerprint() != before


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="looks open files up in /proc")
def test_a_fork_does_not_move_the_file_position(tmp_path: Path) -> None:
    path = as_zip(save_many(tmp_path / "photos", 2, height=100, width=100), tmp_path / "photos.zip")
    storage = open_storage(path)
    storage.read("img0.png")
    (descriptor,) = (int(entry.name) for entry in Path("/proc/self/fd").iterdir() if entry.resolve() == path.resolve())
    position = os.lseek(descriptor, 0, os.SEEK_CUR)
    child = os.fork()
    if child == 0:
        try:
            storage.read("img1.png")
        finally:
            os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert os.lseek(descriptor, 0, os.SEEK_CUR) == position


def test_zip_can_be_sent_to_a_spawned_process(folder: Path, tmp_path: Path) -> None:
    storage = open_storage(as_zip(folder, tmp_path / "photos.zip"))
    assert contents(pickle.loads(pickle.dumps(storage))) == contents(storage)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("photo", "photo: got no such folder or zip, expected 'photo' in .*; did you mean 'photos'"),
        ("photos/trian", "photos/trian: got no such folder or zip, expected 'trian' in .*; did you mean 'train'"),
        ("photos/test/a", "expected 'a' in .*test; there are no folders in it"),
        ("photos.zip/tset", "photos.zip: got no files under 'tset', expected a folder of the zip; did you mean 'test'"),
        ("photos/.hidden", "got a file that is no zip .*, expected a folder or a zip"),
    ],
)
def test_missing_places(folder: Path, tmp_path: Path, path: str, message: str) -> None:
    as_zip(folder, tmp_path / "photos.zip")
    with pytest.raises(DataError, match=message):
        open_storage(tmp_path / path)
