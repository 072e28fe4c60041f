"""Checkpoints: whole or not there, and the newest whole one is found."""

from __future__ import annotations

import os

import pytest
import torch

from gancompress.training import Checkpoints
from gancompress.training.checkpoint import Snapshot


def snapshot(num_images: int) -> Snapshot:
    tensors = {"a": torch.arange(6.0).view(2, 3) + num_images, "b": torch.tensor(num_images), "c": torch.zeros(0)}
    return Snapshot(num_images, tensors, {"seed": 1, "note": "x"})


def test_round_trip(tmp_path):
    checkpoints = Checkpoints(tmp_path / "new")
    assert checkpoints.latest() is None
    checkpoints.save(snapshot(7))
    found = checkpoints.latest()
    assert found is not None
    assert (found.num_images, found.facts) == (7, {"seed": 1, "note": "x"})
    assert all(torch.equal(found.tensors[name], tensor) for name, tensor in snapshot(7).tensors.items())


def test_the_newest_two_are_kept(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    for num_images in (5, 90, 1000):
        checkpoints.save(snapshot(num_images))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["000000000090.safetensors", "000000001000.safetensors"]


def truncate(path):
    path.write_bytes(path.read_bytes()[:-5])


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(bytes(content))


def empty(path):
    path.write_bytes(b"")


def test_a_process_gets_its_own_part_or_falls_back(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    for num_images in (1, 2, 3):
        whole = {"memory/pool": torch.zeros(2), "memory/more": torch.zeros(1), "module/w": torch.tensor(num_images)}
        own = Snapshot(num_images, {"memory/pool": torch.ones(num_images)}, {})
        checkpoints.save_own(own, 1)
        checkpoints.save(Snapshot(num_images, whole, {"processes": 2}))
    assert len(list(tmp_path.iterdir())) == 4

    def found(process: int, at_most: int | None = None) -> dict[str, int] | None:
        snapshot = checkpoints.latest(process, at_most)
        return snapshot and {name: int(tensor.sum()) for name, tensor in snapshot.tensors.items()}

    assert found(1) == {"memory/pool": 3, "module/w": 3}
    assert found(0) == found(2) == {"memory/pool": 0, "memory/more": 0, "module/w": 3}  # two processes wrote it
    truncate(checkpoints.path(3, process=1))
    assert found(1) == found(1, at_most=2) == {"memory/pool": 2, "module/w": 2}
    assert found(1, at_most=1) is None


@pytest.mark.parametrize("damage", [truncate, flip_a_bit, empty])
def test_a_damaged_newest_one_falls_back(tmp_path, damage):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(snapshot(1))
    damage(checkpoints.save(snapshot(2)))
    found = checkpoints.latest()
    assert found is not None
    assert found.num_images == 1


def test_a_full_disk_leaves_the_last_checkpoint(tmp_path, monkeypatch):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(snapshot(1))

    def no_space(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(OSError, match="No space left"):
        checkpoints.save(snapshot(2))
    assert [path.name for path in tmp_path.iterdir()] == ["000000000001.safetensors"]
    found = checkpoints.latest()
    assert found is not None
    assert found.num_images == 1
