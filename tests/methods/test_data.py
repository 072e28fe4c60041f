"""Own data: any iterable of batches, in the same order with the same random numbers from any position."""

from __future__ import annotations

import itertools
import random

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset, TensorDataset

from gancompress.errors import DataError
from gancompress.methods.data import Batches


class Augmented(Dataset):
    """Draws from every generator that data sets use."""

    def __len__(self) -> int:
        return 10

    def __getitem__(self, index: int):
        noise = torch.rand(()).item() + random.random() + np.random.rand()
        return torch.full((3,), index + noise)


def flat(batches, count: int) -> list[float]:
    return torch.cat([b["input"].flatten() for b in itertools.islice(batches, count)]).tolist()


KINDS = {
    "tensors": [torch.zeros(2, 3), torch.ones(2, 3)],
    "arrays": [np.zeros((2, 3), np.float32)],
    "tuples": [(torch.zeros(2, 3), torch.ones(2, 1))],
    "dicts": [{"input": torch.zeros(2, 3), "target": torch.ones(2, 1), "name": ["a", "b"]}],
    "function": lambda: (torch.full((2, 3), float(i)) for i in range(3)),
    "loader": DataLoader(TensorDataset(torch.zeros(6, 3), torch.ones(6, 1)), batch_size=2),
    "one batch": torch.zeros(4, 3),
}


@pytest.mark.parametrize("kind", KINDS)
def test_batches_of_any_kind(kind):
    batches = Batches(KINDS[kind])
    assert batches.first["input"].shape[1:] == (3,)
    assert [b["input"].shape for b in batches] == [b["input"].shape for b in batches]
    if kind in ("tuples", "dicts", "loader"):
        assert batches.first["target"].shape[1:] == (1,)
    stream = batches.stream(0, 3, seed=0)
    assert [len(next(stream)["input"]) for _ in range(4)] == [3] * 4


@pytest.mark.parametrize(
    "make",
    [
        lambda: DataLoader(Augmented(), batch_size=4, shuffle=True),
        lambda: DataLoader(Augmented(), batch_size=4, shuffle=True, generator=torch.Generator().manual_seed(5)),
        lambda: lambda: (torch.rand(4, 3) for _ in range(3)),
        lambda: [torch.arange(12.0).reshape(4, 3), torch.arange(9.0).reshape(3, 3)],
    ],
    ids=["shuffled", "own generator", "function", "list"],
)
@pytest.mark.parametrize("start", [0, 2, 8, 26])
def test_the_stream_from_any_position_is_the_same(make, start):
    whole = flat(Batches(make()).stream(0, 2, seed=7), 20)
    torch.rand(3)  # the state of the global generator decides nothing
    assert flat(Batches(make()).stream(start, 2, seed=7), 4) == whole[3 * start : 3 * start + 24]
    assert flat(Batches(KINDS["function"]).stream(0, 2, seed=7), 2) != whole[:12]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([], r"loader: got no batch, expected at least one"),
        (3, r"loader: got int, expected batches: a DataLoader, a list, or a function"),
        ([{"image": "a.png"}], r"loader: batch 1 is a dict with 'image', expected a tensor, a tuple"),
        (["a.png"], r"loader: batch 1 is str, expected a tensor, a tuple"),
        ([(torch.zeros(1),) * 3], r"loader: batch 1 is tuple of 3 elements, expected a tensor, a tuple"),
        ([torch.tensor(1.0)], r"loader: 'input' of batch 1 is Tensor, expected a tensor \[b, ...\]"),
        ([(torch.zeros(2, 1), torch.zeros(3, 1))], r"loader: batch 1 has parts of different lengths"),
    ],
)
def test_what_is_no_batch_is_refused_in_one_line(data, message):
    with pytest.raises(DataError, match=message) as caught:
        Batches(data)
    assert "\n" not in str(caught.value)


def test_an_iterator_ends_with_a_message():
    batches = Batches(iter([torch.zeros(2, 3), torch.zeros(2, 3)]))
    assert len(batches.first["input"]) == 2
    stream = batches.stream(0, 2, seed=0)
    assert [len(next(stream)["input"]) for _ in range(2)] == [2, 2]
    with pytest.raises(DataError, match="got an iterator that ended after 4 images, expected data that can be read"):
        next(stream)


def test_sizes_that_cannot_be_joined_are_named():
    stream = Batches([torch.zeros(2, 3, 8, 8), torch.zeros(2, 3, 8, 9)]).stream(0, 3, seed=0)
    with pytest.raises(DataError, match=r"got images of shapes \(3, 8, 8\) and \(3, 8, 9\), expected one shape"):
        next(stream)
