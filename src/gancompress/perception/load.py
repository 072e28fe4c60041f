"""Registry of trunks, and loading by name or path."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from torch import nn

from gancompress.errors import ConfigError, nearest
from gancompress.perception.alexnet import alexnet_layers
from gancompress.perception.cifar_resnet import CifarResNet
from gancompress.perception.inception import FidInception
from gancompress.perception.mobilenet import mobilenet_v2_layers
from gancompress.perception.network_file import NetworkFile
from gancompress.perception.squeezenet import squeezenet1_0_layers, squeezenet1_1_layers
from gancompress.perception.trunk import FeatureTrunk, freeze
from gancompress.perception.vgg import vgg_layers
from gancompress.perception.weights import WEIGHTS, fetch_weights, load_weights

Layers = tuple[nn.Sequential, dict[str, int]]

TRUNKS: dict[str, Callable[[], Layers]] = {
    "vgg16": partial(vgg_layers, "vgg16"),
    "vgg19": partial(vgg_layers, "vgg19"),
    "alexnet": alexnet_layers,
    "squeezenet1_0": squeezenet1_0_layers,
    "squeezenet1_1": squeezenet1_1_layers,
    "mobilenet_v2": mobilenet_v2_layers,
}


def load_trunk(
    name: str,
    taps: Sequence[str] | None = None,
    normalize: bool = True,
    weights: str | Path | None = None,
) -> nn.Module:
    """Load a frozen trunk with its published weights: images [b, 3, h, w], RGB in [0, 1], to a list of feature maps.

    Args:
        name: A name in `TRUNKS`, or the path of a TorchScript or ONNX network, which has its own taps, weights and
            normalisation.
        taps: Names of the layers to return; all ReLUs by default.
        normalize: Whether images are first normalized by the ImageNet mean and standard deviation.
        weights: The published file; by default from the cache or its authors.

    Raises:
        ConfigError: Name or tap do not exist, or taps or weights are given for a network of a path.
        CheckpointError: The weights cannot be found or read, or do not fit.
    """
    if name not in TRUNKS:
        if not is_network_path(name):
            raise ConfigError(
                f"trunk: got '{name}', expected a known one or the path of a TorchScript or ONNX file; "
                f"{nearest(name, TRUNKS)}"
            )
        if taps is not None or weights is not None or not normalize:
            raise ConfigError(
                f"trunk: got taps, weights or normalisation for {name}, expected none, for the file fixes them; "
                "remove them"
            )
        return NetworkFile(name)
    features, tap_layers = TRUNKS[name]()
    trunk = FeatureTrunk(features, tap_layers, taps, normalize)
    prefixes = tuple(f"features.{number}." for number in range(len(trunk.features)))
    return _with_weights(trunk, name, weights, prefixes)


def load_cifar_resnet(weights: str | Path | None = None) -> nn.Module:
    """Load the frozen ResNet-56 of CIFAR-10: images [b, 3, 32, 32], RGB in [0, 1], to features [b, 64] and logits.

    Args:
        weights: The published file; by default from the cache or its authors.

    Raises:
        CheckpointError: The weights cannot be found or read, or do not fit.
    """
    return _with_weights(CifarResNet(), "resnet56_cifar10", weights)


PUBLISHED: dict[str, Callable[[], nn.Module]] = {
    "mobilenet_v2": lambda: load_trunk("mobilenet_v2", ["features"]),
    "resnet56_cifar10": load_cifar_resnet,
    "squeezenet1_1": lambda: load_trunk("squeezenet1_1", ["relu1", "fire3", "fire5", "fire7", "fire9"]),
}
"""Published networks for metrics by their names in `WEIGHTS`: images [b, 3, h, w], RGB in [0, 1], to a list of outputs.

MobileNetV2 returns its features, ResNet-56 features and logits of CIFAR-10, SqueezeNet five maps to compare.
"""


def load_inception(weights: str | Path | None = None) -> nn.Module:
    """Load the frozen network of FID: images [b, 3, 299, 299], RGB in [0, 1], to features [b, 2048].

    Args:
        weights: The published file; by default from the cache or its authors.

    Raises:
        CheckpointError: The weights cannot be found or read, or do not fit.
    """
    return _with_weights(FidInception(), "inception", weights, ("Conv2d_", "Mixed_"))


def is_network_path(name: str) -> bool:
    """Return whether a name is the path of a network file."""
    return "/" in name or Path(name).suffix in (".pt", ".onnx")


def _with_weights(
    network: nn.Module, name: str, weights: str | Path | None, prefixes: tuple[str, ...] = ("",)
) -> nn.Module:
    """Return a frozen network with its weights of a file, by default the published one of a name in `WEIGHTS`."""
    load_weights(network, Path(weights) if weights else fetch_weights(WEIGHTS[name]), prefixes)
    return freeze(network)
