"""Batches that are made once where they fit into memory."""

from __future__ import annotations

import pytest
import torch

from gancompress.evaluation.held_batches import GIB, HeldBatches

NUM_BYTES = 3 * 4 * 5  # three batches of five float32


@pytest.mark.parametrize(("num_bytes", "times"), [(NUM_BYTES, 1), (NUM_BYTES - 1, 3), (0, 3)])
def test_batches_are_made_once_where_all_fit(num_bytes, times):
    made = []

    def make():
        for i in range(3):
            made.append(i)
            yield {"input": torch.full((5,), float(i)), "name": ["a"] * 5}

    batches = HeldBatches(make, num_bytes / GIB)
    assert made == []
    for _ in range(3):
        assert [float(batch["input"][0]) for batch in batches] == [0, 1, 2]
    assert made == [0, 1, 2] * times


def test_a_pass_that_was_left_early_is_not_taken_for_all():
    batches = HeldBatches(lambda: ({"input": torch.zeros(1)} for _ in range(3)), 1)
    next(iter(batches))
    assert len(list(batches)) == 3
    assert len(list(batches)) == 3
