"""Mapped weights are given back, and a change of them in memory is not lost."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from gancompress.deploy import memory
from gancompress.deploy.memory import give_back_mapped, give_back_memory

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nothing is given back")

SIZE = 1024


def mapped(file: Path) -> nn.Linear:
    """A layer of 4 MiB on the pages of a file, all of which have been read."""
    torch.save(nn.Linear(SIZE, SIZE, bias=False).state_dict(), file)
    layer = nn.Linear(SIZE, SIZE, bias=False, device="meta")
    layer.load_state_dict(torch.load(file, mmap=True), assign=True)
    assert layer.weight.isfinite().all()
    return layer


def resident_bytes() -> int:
    (line,) = [each for each in Path("/proc/self/status").read_text().splitlines() if each.startswith("RssFile")]
    return 1024 * int(line.split()[1])


@pytest.mark.parametrize("give_back", [give_back_memory, give_back_mapped])
def test_pages_of_a_file_are_given_back_and_read_again(give_back, tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "_LARGE_BYTES", 0)
    layer = mapped(tmp_path / "net.pt")
    before = resident_bytes()
    give_back(layer)
    assert before - resident_bytes() > 0.9 * 4 * SIZE**2
    assert layer.weight.equal(torch.load(tmp_path / "net.pt")["weight"])


def test_changed_and_small_ones_stay(tmp_path, monkeypatch):
    layer = mapped(tmp_path / "net.pt")
    before = resident_bytes()
    give_back_mapped(layer)
    assert resident_bytes() == before
    monkeypatch.setattr(memory, "_LARGE_BYTES", 0)
    with torch.no_grad():
        layer.weight[0, 0] = 7
    give_back_mapped(layer)
    assert layer.weight[0, 0] == 7
