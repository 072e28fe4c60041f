"""Random numbers that depend on their purpose and key alone: not on workers, call order or earlier draws."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import IntEnum
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray


class Purpose(IntEnum):
    """Purpose of a random draw. The same seed gives unrelated numbers to each."""

    ORDER = 0
    PARTNER = 1
    VIEW = 2
    SCENE = 3
    LATENT = 4


def generator(purpose: Purpose, *key: int) -> np.random.Generator:
    """Return the generator of a purpose and a key, such as (seed, epoch, index); each number at least 0."""
    return np.random.default_rng((int(purpose), *key))


@lru_cache(maxsize=4)
def permutation(purpose: Purpose, size: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """Return the numbers 0 to ``size`` in the order of this epoch, shape ``(size,)``, read-only."""
    return _frozen(generator(purpose, seed, epoch).permutation(size))


@lru_cache(maxsize=4)
def block_permutation(block_sizes: tuple[int, ...], num_open: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """Return an order whose neighbours come from few blocks: shuffled blocks, mixed ``num_open`` at a time.

    Args:
        block_sizes: Number of consecutive numbers in each block.
        num_open: Number of blocks that are mixed at a time.
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


@contextmanager
def seeded(seed: int, epoch: int, index: int) -> Iterator[None]:
    """Seed every random number generator that a caller's data may use, and restore its state afterwards."""
    number = (seed * 1_000_003 + epoch * 7_919 + index * 104_729) % 2**32
    states = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        random.seed(number)
        np.random.seed(number)
        torch.manual_seed(number)
        try:
            yield
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])
