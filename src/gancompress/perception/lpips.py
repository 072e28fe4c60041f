"""Perceptual distance of two images by the features of a trunk: LPIPS, or the same distance without learned weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from gancompress.errors import CheckpointError, ConfigError, nearest
from gancompress.networks.weight_files import read_torch_file
from gancompress.perception.load import load_trunk
from gancompress.perception.trunk import freeze
from gancompress.perception.weights import WEIGHTS, fetch_weights

NORM_EPS = 1e-10

LPIPS_TRUNKS: dict[str, tuple[str, tuple[str, ...]]] = {
    "alex": ("alexnet", ("relu1", "relu2", "relu3", "relu4", "relu5")),
    "vgg": ("vgg16", ("relu1_2", "relu2_2", "relu3_3", "relu4_3", "relu5_3")),
    "squeeze": ("squeezenet1_1", ("relu1", "fire3", "fire5", "fire6", "fire7", "fire8", "fire9")),
}


class LpipsDistance(nn.Module):
    """Weighted squared difference of unit-length feature vectors, averaged over positions, summed over layers.

    With the published channel weights this is LPIPS. Without (all weights 1) it is the paper's uncalibrated baseline,
    and its values are comparable only with values over the same trunk.

    Source: Zhang et al., The Unreasonable Effectiveness of Deep Features as a Perceptual Metric, CVPR 2018, eq. 1.
    """

    def __init__(self, trunk: nn.Module, channel_weights: Sequence[Tensor] | None = None) -> None:
        """Set the trunk and, for each of its maps, channel weights [c].

        Args:
            trunk: Module from images [b, 3, h, w], RGB in [0, 1], to a list of maps.
            channel_weights: One tensor per map; ones by default.
        """
        super().__init__()
        self.trunk = trunk
        self.num_heads = 0 if channel_weights is None else len(channel_weights)
        for number, weights in enumerate(channel_weights or []):
            self.register_buffer(f"channel_weights_{number}", weights.view(1, -1, 1, 1))

    def forward(self, images: Tensor, targets: Tensor) -> Tensor:
        """Return the distance of each pair.

        Args:
            images: [b, 3, h, w], RGB in [-1, 1].
            targets: Images of the same shape and range.

        Returns:
            Distances, shape ``(b,)``; 0 for equal images.

        Raises:
            ConfigError: The numbers of maps and channel weights differ.
        """
        maps, target_maps = self.trunk((images + 1) / 2), self.trunk((targets + 1) / 2)
        if self.num_heads not in (0, len(maps)):
            raise ConfigError(
                f"perceptual distance: got {len(maps)} feature maps for {self.num_heads} layers of channel weights, "
                "expected as many; tap the layers that the weights belong to"
            )
        distance = images.new_zeros(images.shape[0])
        for number, (x, y) in enumerate(zip(maps, target_maps, strict=True)):
            difference = (_unit_length(x) - _unit_length(y)).square()
            if self.num_heads:
                difference = difference * getattr(self, f"channel_weights_{number}")
            distance = distance + difference.sum(1).mean((1, 2))
        return distance


def load_lpips(name: str, trunk_weights: str | Path | None = None, heads: str | Path | None = None) -> LpipsDistance:
    """Load LPIPS version 0.1 with its published weights, frozen.

    Args:
        name: ``alex``, ``vgg`` or ``squeeze``.
        trunk_weights: File of the trunk; by default from the cache or its authors.
        heads: File of the channel weights; by default from the cache or its authors.

    Raises:
        ConfigError: There is no such LPIPS.
        CheckpointError: A file cannot be found or read, or does not fit.
    """
    if name not in LPIPS_TRUNKS:
        raise ConfigError(f"lpips: got '{name}', expected a known one; {nearest(name, LPIPS_TRUNKS)}")
    trunk_name, taps = LPIPS_TRUNKS[name]
    path = Path(heads) if heads else fetch_weights(WEIGHTS[f"lpips_{name}"])
    state = read_torch_file(path)
    names = [f"lin{number}.model.1.weight" for number in range(len(taps))]
    if missing := [key for key in names if key not in state]:
        raise CheckpointError(
            f"{path}: found no {missing[0]}, expected the {len(taps)} channel weights of LPIPS 0.1 over {trunk_name}; "
            f"give the file of {name}"
        )
    trunk = load_trunk(trunk_name, taps, weights=trunk_weights)
    distance = LpipsDistance(trunk, [state[key].flatten() for key in names])
    freeze(distance)
    return distance


def _unit_length(features: Tensor) -> Tensor:
    # The gradient of a plain norm is not a number if all features are 0, so the root gets a lower bound.
    norm = features.square().sum(1, keepdim=True).clamp_min(torch.finfo(features.dtype).tiny).sqrt()
    return features / (norm + NORM_EPS)
