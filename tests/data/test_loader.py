from __future__ import annotations

import itertools
import random
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gancompress.data import Batch, ImageSet, Loader, make_loader, make_ordered_loader, parse_data
from gancompress.data.loader import VisitBatches
from gancompress.errors import DataError
from tests.data.pictures import WHOLE, pixels, save, save_many


@pytest.fixture
def dataset(tmp_path: Path) -> ImageSet:
    save_many(tmp_path / "trainA", 7)
    save_many(tmp_path / "trainB", 5, first=100)
    config = {
        "kind": "unaligned",
        "splits": WHOLE,
        "root": str(tmp_path),
        "transform": {"load_size": 10, "crop_size": 8},
    }
    return parse_data(config).open("train", augment=True)


def take(loader: Loader, count: int) -> list[Batch]:
    return list(itertools.islice(loader, count))


def equal(one: list[Batch], other: list[Batch]) -> bool:
    return len(one) == len(other) and all(
        first["name"] == second["name"]
        and all(first[role].equal(second[role]) for role in ("input", "target", "index"))
        for first, second in zip(one, other, strict=True)
    )


def test_batches(dataset: ImageSet) -> None:
    for batch in take(make_loader(dataset, 3, seed=0), 5):
        assert batch["input"].shape == batch["target"].shape == (3, 3, 8, 8)
        assert batch["index"].dtype == torch.int64
        assert batch["name"] == [f"img{index}" for index in batch["index"].tolist()]


def test_workers_change_nothing(dataset: ImageSet) -> None:
    assert equal(take(make_loader(dataset, 3, seed=4), 6), take(make_loader(dataset, 3, seed=4, num_workers=2), 6))


@pytest.mark.parametrize("stop", [1, 2, 4])
def test_resuming_equals_going_on(dataset: ImageSet, stop: int) -> None:
    whole = take(make_loader(dataset, 3, seed=4), 7)
    assert equal(whole[stop:], take(make_loader(dataset, 3, seed=4, start_image=3 * stop), 7 - stop))


def test_every_image_once_an_epoch(dataset: ImageSet) -> None:
    indices = torch.cat([batch["index"] for batch in take(make_loader(dataset, 3, seed=1), 14)]).tolist()
    epochs = [indices[start : start + 7] for start in range(0, 42, 7)]
    assert all(sorted(epoch) == list(range(7)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 1


def test_copies_repeat_views_and_partners_but_not_the_order(dataset: ImageSet) -> None:
    batches = take(make_loader(dataset, 1, seed=0, copies=2), 4 * len(dataset))
    epochs = [batches[first : first + len(dataset)] for first in range(0, len(batches), len(dataset))]
    orders = [[int(batch["index"]) for batch in epoch] for epoch in epochs]
    by_index = [{int(b["index"]): (b["input"], b["target"]) for b in epoch} for epoch in epochs]
    assert orders[0] != orders[2]
    for index in range(len(dataset)):
        first, second, third = (epoch[index] for epoch in by_index[:3])
        assert all(torch.equal(a, b) for a, b in zip(first, third, strict=True))
        assert not torch.equal(first[0], second[0])


def test_other_seeds_give_other_streams(dataset: ImageSet) -> None:
    assert not equal(take(make_loader(dataset, 3, seed=0), 3), take(make_loader(dataset, 3, seed=1), 3))


@pytest.mark.parametrize("start_image", [0, 6, 12])
def test_ranks_share_the_batches_of_one_process(dataset: ImageSet, start_image: int) -> None:
    whole = take(make_loader(dataset, 6, seed=2, start_image=start_image), 3)
    ranks = [
        take(make_loader(dataset, 2, seed=2, start_image=start_image, rank=rank, world_size=3), 3) for rank in range(3)
    ]
    for step in range(3):
        assert torch.cat([rank[step]["input"] for rank in ranks]).equal(whole[step]["input"])


def test_position_is_an_integer_of_any_size(dataset: ImageSet) -> None:
    batches = iter(VisitBatches(dataset, 2, seed=0, start_image=10**12))
    assert [visit.epoch for visit in next(batches)] == [10**12 // 7, (10**12 + 1) // 7]


@pytest.mark.parametrize("num_workers", [0, 2])
def test_global_random_numbers_are_left_alone(dataset: ImageSet, num_workers: int) -> None:
    def states() -> tuple[Any, ...]:
        return torch.get_rng_state().tolist(), random.getstate(), str(np.random.get_state())

    before = states()
    take(make_loader(dataset, 3, seed=0, num_workers=num_workers), 2)
    take(make_ordered_loader(dataset, 3, num_workers=num_workers), 2)
    assert states() == before


@pytest.mark.parametrize("num_workers", [0, 2])
def test_ordered(dataset: ImageSet, num_workers: int) -> None:
    loader = make_ordered_loader(dataset, 3, num_workers=num_workers)
    for _ in range(2):
        assert [batch["index"].tolist() for batch in loader] == [[0, 1, 2], [3, 4, 5], [6]]
    assert [batch["index"].tolist() for batch in make_ordered_loader(dataset, 3, max_images=4)] == [[0, 1, 2], [3]]


class TestBroken:
    def open(self, root: Path, broken: tuple[int, ...], max_broken: int) -> ImageSet:
        save_many(root / "train", 6)
        for number in broken:
            (root / f"train/img{number}.png").write_bytes(b"broken")
        config = {
            "kind": "images",
            "splits": WHOLE,
            "root": str(root),
            "transform": {"resize": "none"},
            "max_broken": max_broken,
        }
        return parse_data(config).open("train")

    @pytest.mark.parametrize("num_workers", [0, 2])
    def test_stream_takes_the_next_image(self, tmp_path: Path, num_workers: int) -> None:
        dataset = self.open(tmp_path, (1, 2), max_broken=2)
        batches = take(make_loader(dataset, 4, seed=0, num_workers=num_workers), 3)
        assert Counter(torch.cat([batch["index"] for batch in batches]).tolist()) == {0: 2, 3: 6, 4: 2, 5: 2}
        assert dataset.broken_names() == ["img1", "img2"]

    @pytest.mark.parametrize("num_workers", [0, 2])
    def test_ordered_leaves_them_out(self, tmp_path: Path, num_workers: int) -> None:
        dataset = self.open(tmp_path, (1, 2, 3), max_broken=3)
        loader = make_ordered_loader(dataset, 2, num_workers=num_workers)
        assert [batch["index"].tolist() for batch in loader] == [[0], [4, 5]]
        assert dataset.broken_names() == ["img1", "img2", "img3"]

    @pytest.mark.parametrize("num_workers", [0, 2])
    def test_too_many_end_in_one_line(self, tmp_path: Path, num_workers: int) -> None:
        dataset = self.open(tmp_path, (1, 2), max_broken=1)
        with pytest.raises(DataError) as caught:
            take(make_loader(dataset, 3, seed=0, num_workers=num_workers), 4)
        message = str(caught.value)
        assert "got 2 broken (all: img1, img2), expected at most 1" in message
        assert "\n" not in message

    def test_a_loader_that_stopped_can_start_again(self, tmp_path: Path) -> None:
        loader = make_ordered_loader(self.open(tmp_path, (4,), max_broken=0), 3, num_workers=2)
        for _ in range(2):
            batches = iter(loader)
            assert next(batches)["index"].tolist() == [0, 1, 2]
            with pytest.raises(DataError, match=r"img4\.png"):
                next(batches)

    def test_nothing_but_broken_images(self, tmp_path: Path) -> None:
        dataset = self.open(tmp_path, tuple(range(6)), max_broken=6)
        with pytest.raises(DataError, match="got 6 items, all broken, expected at least one that can be decoded"):
            take(make_loader(dataset, 2, seed=0), 1)
        assert take(make_ordered_loader(dataset, 2), 1) == []


def test_images_of_a_batch_differ_in_size(tmp_path: Path) -> None:
    save(tmp_path / "train/a.png", pixels(0, 8, 9))
    save(tmp_path / "train/b.png", pixels(0, 8, 10))
    dataset = parse_data(
        {"kind": "images", "splits": WHOLE, "root": str(tmp_path), "transform": {"resize": "none"}}
    ).open("train")
    message = (
        r"batch: got 'input' of a of 8x9 and b of 8x10 \(height x width\), expected one size; set transform.crop_si"
    )
    with pytest.raises(DataError, match=message):
        take(make_ordered_loader(dataset, 2, num_workers=1), 1)
