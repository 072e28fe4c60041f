"""Random numbers that depend only on what they are for: never on a worker, an order of calls or an earlier draw."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray


class Purpose(IntEnum):
    """What a draw is for. The same seed gives unrelated numbers to each."""

    ORDER = 0
    PARTNER = 1
    VIEW = 2
    SCENE = 3
    LATENT = 4


def generator(purpose: Purpose, *key: int) -> np.random.Generator:
    """The generator of a purpose and a key, such as (seed, epoch, index); each number at least 0."""
    return np.random.default_rng((int(purpose), *key))


@lru_cache(maxsize=4)
def permutation(purpose: Purpose, size: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """The numbers 0 to ``size`` in the order of this epoch, shape ``(size,)``, read-only."""
    return _frozen(generator(purpose, seed, epoch).permutation(size))


@lru_cache(maxsize=4)
def block_permutation(block_sizes: tuple[int, ...], num_open: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """An order in which neighbours come from few blocks: blocks are shuffled, then what lies in ``num_open`` of them.

    Args:
        block_sizes: How many consecutive numbers each block holds.
        num_open: How many blocks are mixed with each other at a time.
        seed: At least 0.
        epoch: At least 0.

    Returns:
        The numbers 0 to ``sum(block_sizes)``, each once, read-only.
    """
    draw = generator(Purpose.ORDER, seed, epoch)
    starts = np.concatenate([[0], np.cumsum(block_sizes)])
    order = draw.permutation(len(block_sizes))
    windows = [order[first : first + num_open] for first in range(0, len(order), num_open)]
    mixed = [draw.permutation(_numbers_of(window, starts)) for window in windows]
    return _frozen(np.concatenate(mixed))


def _numbers_of(blocks: Sequence[int] | NDArray[np.int64], starts: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.concatenate([np.arange(starts[block], starts[block + 1]) for block in blocks])


def _frozen(numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    numbers.flags.writeable = False
    return numbers
