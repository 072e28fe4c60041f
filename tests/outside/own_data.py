"""Data of one's own in every form that a recipe may name."""

import random

import numpy as np
import torch

LISTED = [torch.full((2, 3), float(number)) for number in range(20)]
NOT_DATA = 3


class Drawn(torch.utils.data.Dataset):
    """Items that draw random numbers."""

    def __init__(self, length=4, size=10):
        self.length, self.size = length, size

    def __len__(self):
        return self.size

    def __getitem__(self, index):
        return torch.randn(self.length) + random.random(), np.random.rand(2).astype(np.float64) + index


def of_split(split, augment=False):
    sizes = {"train": 5, "search": 2, "test": 3}
    return [
        {"mel": torch.full((2,), float(augment)), "speaker": number, "name": split} for number in range(sizes[split])
    ]


def endless():
    while True:
        yield torch.randn(2)


def loader():
    return torch.utils.data.DataLoader(LISTED)


def words():
    return ["a", "b", "c"] * 5
