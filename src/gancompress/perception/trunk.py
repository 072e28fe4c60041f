"""A sequential network that returns some of its inner feature maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from gancompress.errors import ConfigError, nearest

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class FeatureTrunk(nn.Module):
    """A sequential network that returns the outputs of its tapped layers, the first tap first.

    Its parameters have the names of the published classifiers (``features.0.weight``).

    Attributes:
        tap_names: The taps, in the order of the returned maps.
    """

    features: nn.Sequential
    mean: Tensor
    std: Tensor

    def __init__(
        self,
        features: nn.Sequential,
        tap_layers: Mapping[str, int],
        taps: Sequence[str] | None = None,
        normalize: bool = True,
    ) -> None:
        """Keep the layers up to the last tap.

        Args:
            features: The layers.
            tap_layers: Index of the layer of each tap name.
            taps: Names of the layers to tap, in any order; all by default.
            normalize: Whether images are first normalized by the ImageNet mean and standard deviation, as in the
                training of the published weights. Some published losses do not normalize.

        Raises:
            ConfigError: A tap does not exist, or there is none.
        """
        super().__init__()
        chosen = list(tap_layers) if taps is None else list(taps)
        for tap in chosen:
            if tap not in tap_layers:
                raise ConfigError(f"trunk: got the tap '{tap}', expected a layer's name; {nearest(tap, tap_layers)}")
        if not chosen:
            raise ConfigError(f"trunk: got no taps, expected at least one of {', '.join(tap_layers)}")
        self.tap_names = tuple(sorted(set(chosen), key=lambda tap: tap_layers[tap]))
        self._tap_numbers = [tap_layers[tap] for tap in self.tap_names]
        self.features = nn.Sequential(*list(features)[: self._tap_numbers[-1] + 1])
        self.normalize = normalize
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(1, 3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Map images [b, 3, h, w], RGB in [0, 1], to one feature map [b, c_i, h_i, w_i] per tap."""
        x = (images - self.mean) / self.std if self.normalize else images
        maps = []
        for number, layer in enumerate(self.features):
            x = layer(x)
            if number in self._tap_numbers:
                maps.append(x)
        return maps


def freeze(network: nn.Module) -> nn.Module:
    """Freeze a network's parameters and set it to evaluation mode; gradients still reach its input."""
    for parameter in network.parameters():
        parameter.requires_grad = False
    return network.eval()
