"""Integer label maps as the input of a semantic generator: one-hot channels made inside the network."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def one_hot(labels: Tensor, num_labels: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """A channel of 0 and 1 for each label.

    Args:
        labels: Integers [b, h, w]. A pixel that is none of 0 to ``num_labels - 1`` is 0 in all channels.
        num_labels: Number of channels.
        dtype: Of the channels.

    Returns:
        Channels [b, num_labels, h, w].
    """
    numbers = torch.arange(num_labels, dtype=labels.dtype, device=labels.device)
    return (labels[:, None] == numbers[:, None, None]).to(dtype)


class LabelInput(nn.Module):
    """A semantic generator that takes integers instead of one-hot channels: what a user's program has at hand.

    Exported, the one-hot channels are made inside the file.
    """

    def __init__(self, network: nn.Module, num_labels: int) -> None:
        """Puts the conversion before a network.

        Args:
            network: Takes [b, num_labels, h, w], or one channel more where it uses instance edges.
            num_labels: Number of labels, "don't care" included where the network knows it.
        """
        super().__init__()
        self.network = network
        self.num_labels = num_labels

    def forward(self, labels: Tensor, edges: Tensor | None = None) -> Tensor:
        """Maps integer labels [b, h, w] to an image [b, c, h, w] in [-1, 1].

        Args:
            labels: Labels from 0 to ``num_labels - 1``.
            edges: Where instances meet [b, h, w], numbers 0 and 1 or truth values; only for a network that uses them.
        """
        return self.network(self.channels(labels, edges))

    def channels(self, labels: Tensor, edges: Tensor | None = None) -> Tensor:
        """What the network takes, [b, channels, h, w] of 0 and 1; arguments as those of `forward`."""
        dtype = next(self.network.parameters()).dtype
        channels = one_hot(labels, self.num_labels, dtype)
        return channels if edges is None else torch.cat([channels, edges[:, None].to(dtype)], dim=1)
