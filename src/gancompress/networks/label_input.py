"""Integer label maps as the input of a semantic generator, converted to one-hot channels inside the network."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def one_hot(labels: Tensor, num_labels: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Convert label maps to one channel of 0 and 1 for each label.

    Args:
        labels: Integers [b, h, w]. A pixel outside 0 to ``num_labels - 1`` is 0 in all channels.
        num_labels: Number of channels.
        dtype: Type of the channels.

    Returns:
        Channels [b, num_labels, h, w].
    """
    numbers = torch.arange(num_labels, dtype=labels.dtype, device=labels.device)
    return (labels[:, None] == numbers[:, None, None]).to(dtype)


class LabelInput(nn.Module):
    """A semantic generator that takes integer label maps instead of one-hot channels.

    In an exported file, the one-hot channels are computed inside.
    """

    def __init__(self, network: nn.Module, num_labels: int) -> None:
        """Wrap a network with the conversion.

        Args:
            network: Network that takes [b, num_labels, h, w], or one channel more if it uses instance edges.
            num_labels: Number of labels, including "don't care" if the network has it.
        """
        super().__init__()
        self.network = network
        self.num_labels = num_labels

    def forward(self, labels: Tensor, edges: Tensor | None = None) -> Tensor:
        """Map integer labels [b, h, w] to an image [b, c, h, w] in [-1, 1].

        Args:
            labels: Labels from 0 to ``num_labels - 1``.
            edges: Edges between instances [b, h, w], numbers 0 and 1 or booleans; only for a network that uses them.
        """
        return self.network(self.channels(labels, edges))

    def channels(self, labels: Tensor, edges: Tensor | None = None) -> Tensor:
        """Return the input channels of the network, [b, channels, h, w] of 0 and 1; arguments as in `forward`."""
        dtype = next(self.network.parameters()).dtype
        channels = one_hot(labels, self.num_labels, dtype)
        return channels if edges is None else torch.cat([channels, edges[:, None].to(dtype)], dim=1)
