"""A network of two inputs and two outputs, and data of its inputs by name."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Speaking(nn.Module):
    """A mel array [b, 4, frames] and a speaker's vector [b, 3] to a wave and the logits of voicing."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.first = nn.Conv1d(4, width, 3, padding=1)
        self.speaker = nn.Linear(3, width)
        self.norm = nn.BatchNorm1d(width)
        self.second = nn.Conv1d(width, width, 3, padding=1)
        self.up = nn.ConvTranspose1d(width, 1, 4, 2, 1)
        self.voiced = nn.Conv1d(width, 1, 1)

    def forward(self, mel: Tensor, speaker: Tensor, scale: float = 1.0) -> dict[str, Tensor]:
        x = torch.relu(self.norm(self.first(mel) + self.speaker(speaker)[..., None]))
        x = torch.relu(self.second(x))
        return {"wave": torch.tanh(self.up(x)) * scale, "voiced": self.voiced(x)}


def batches(count: int = 4, size: int = 4) -> list[dict[str, Tensor]]:
    draw = torch.Generator().manual_seed(0)
    return [
        {"speaker": torch.randn(size, 3, generator=draw), "mel": torch.randn(size, 4, 8, generator=draw)}
        for _ in range(count)
    ]


def items(size: int = 60) -> list[dict[str, Tensor]]:
    return [{name: each[0] for name, each in batch.items()} for batch in batches(size, 1)]
