from __future__ import annotations

import errno
import logging
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from gancompress.data import parse_data
from gancompress.data.cache import Arrays, Cache, MemoryCache
from tests.data.pictures import WHOLE, pixels, save, save_many

IMAGE_BYTES = 12 * 16 * 3


def counting(number: int, made: list[int]) -> Arrays:
    made.append(number)
    return {"input": pixels(number), "label": np.full((2, 2), number, np.int32)}


def num_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def test_what_is_made_once_is_read_by_all(tmp_path: Path) -> None:
    cache, made = Cache(directory=str(tmp_path)), []
    for one in (cache.open("s"), cache.open("s"), cache.open("s")):
        for number in range(3):
            arrays = one.get(number, f"key {number}", lambda number=number: counting(number, made))
            np.testing.assert_array_equal(arrays["input"], pixels(number))
            assert arrays["label"].dtype == np.int32
    assert made == [0, 1, 2]


@pytest.mark.parametrize(("key", "settings"), [("other", "s"), ("key", "other")])
def test_other_keys_and_settings_are_apart(tmp_path: Path, key: str, settings: str) -> None:
    cache, made = Cache(directory=str(tmp_path)), []
    cache.open("s").get(0, "key", lambda: counting(0, made))
    cache.open(settings).get(0, key, lambda: counting(1, made))
    assert made == [0, 1]


def test_bound(tmp_path: Path) -> None:
    """Images of one size: exactly as many as fit are kept, the same ones in every epoch."""
    made: list[int] = []
    cache = Cache(directory=str(tmp_path), max_gib=7500 / 2**30).open("s")
    for _ in range(2):
        for number in (9, 3, 0, 5, 7, 1, 2, 4, 6, 8):
            cache.get(number, f"{number}", lambda number=number: {"input": counting(number, made)["input"]})
    num_kept = 7500 // (IMAGE_BYTES + 512)
    assert sorted(made) == sorted([*range(10), *range(num_kept, 10)])
    assert num_kept * IMAGE_BYTES < num_bytes(tmp_path) <= 7500


def test_left_overs_are_removed(tmp_path: Path) -> None:
    options = Cache(directory=str(tmp_path), max_gib=3000 / 2**30)
    for generation in range(3):
        cache = options.open("s")
        assert num_bytes(tmp_path) <= 3000
        for number in range(2):
            cache.get(number, f"{generation} {number}", lambda: {"input": pixels(0)})
        time.sleep(0.01)
    made: list[int] = []
    options.open("s").get(0, "2 0", lambda: counting(0, made))
    assert made == []


@pytest.mark.parametrize("damage", [b"", b"PK", None])
def test_a_damaged_file_is_made_again(tmp_path: Path, damage: bytes | None) -> None:
    made: list[int] = []
    cache = Cache(directory=str(tmp_path)).open("s")
    cache.get(0, "key", lambda: counting(0, made))
    (path,) = tmp_path.rglob("*.npz")
    path.write_bytes(path.read_bytes()[:-40] if damage is None else damage)
    for _ in range(2):
        np.testing.assert_array_equal(cache.get(0, "key", lambda: counting(0, made))["input"], pixels(0))
    assert made == [0, 0]


def test_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "savez", fail)
    cache = Cache(directory=str(tmp_path)).open("s")
    with caplog.at_level(logging.WARNING):
        assert set(cache.get(0, "key", lambda: counting(0, []))) == {"input", "label"}
    assert "not cached: [Errno 28] No space left on device" in caplog.text
    assert num_bytes(tmp_path) == 0


def test_items_are_the_same_and_follow_their_files(tmp_path: Path) -> None:
    save_many(tmp_path / "train", 4)
    options = {"kind": "images", "splits": WHOLE, "root": str(tmp_path), "transform": {"load_size": 8, "crop_size": 6}}
    plain = parse_data(options).open("train")
    cached = parse_data({**options, "cache": {"directory": str(tmp_path / "cache")}}).open("train")
    for _ in range(2):
        assert all(plain[index]["input"].equal(cached[index]["input"]) for index in range(4))
    assert len(list(tmp_path.rglob("*.npz"))) == 4
    before = cached[1]["input"]
    save(tmp_path / "train/img1.png", pixels(77))
    assert not cached[1]["input"].equal(before)
    assert cached[1]["input"].equal(plain[1]["input"])


def test_memory_is_bounded_and_keeps_what_came_first():
    made: list[int] = []
    cache = Cache(max_gib=2.5 * pixels(0).nbytes / 2**30).open("s")
    assert isinstance(cache, MemoryCache)
    for _ in range(2):
        for number in range(3):
            arrays = cache.get(number, f"{number}", lambda number=number: {"input": counting(number, made)["input"]})
            np.testing.assert_array_equal(arrays["input"], pixels(number))
    assert made == [0, 1, 2, 2]


def test_decoding_workers_share_the_bound(monkeypatch):
    made: list[int] = []
    monkeypatch.setattr("gancompress.data.cache.get_worker_info", lambda: SimpleNamespace(num_workers=2))
    cache = Cache(max_gib=2.5 * pixels(0).nbytes / 2**30).open("s")
    for number in (0, 1, 0, 1):
        cache.get(number, f"{number}", lambda number=number: {"input": counting(number, made)["input"]})
    assert made == [0, 1, 1]
