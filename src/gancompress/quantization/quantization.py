"""Quantization of a network as a value: options and ranges, apart from the network and its weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from torch import Tensor, nn

from gancompress.channels import ChannelPlan
from gancompress.errors import CheckpointError, ConfigError
from gancompress.io import DescribedFile
from gancompress.networks.state import Mismatch, shapes_of
from gancompress.networks.weight_files import read_safetensors, write_safetensors
from gancompress.quantization.attach import quantize, quantized_layers
from gancompress.quantization.options import QuantizationOptions

OPTIONS_FILE = "quantization.json"
RANGES_FILE = "ranges.safetensors"
DESCRIPTION = DescribedFile("gancompress-quantization", "Quantization.save", versions=(2,), types={"options": dict})


@dataclass(frozen=True, eq=False)
class Quantization:
    """Options and ranges that make a float network a quantized one.

    Attributes:
        options: Layers and bits that are quantized.
        ranges: The tensors that quantization adds to the network's state dict, by name.
    """

    options: QuantizationOptions
    ranges: Mapping[str, Tensor]

    @classmethod
    def of(cls, network: nn.Module, options: QuantizationOptions) -> Self:
        """Return the quantization of a network.

        Args:
            network: A quantized network.
            options: The options that it was quantized with.
        """
        return cls(options, {name: tensor.detach().cpu().clone() for name, tensor in ranges_of(network).items()})

    def within(self, plan: ChannelPlan) -> Self:
        """Return the quantization of the same network without the blocks that a plan leaves out."""
        return replace(self, ranges={name: tensor for name, tensor in self.ranges.items() if plan.holds(name)})

    def attach(self, network: nn.Module) -> nn.Module:
        """Quantize a float network, in place, and return it.

        Raises:
            ConfigError: Raised by `quantize`, or the ranges do not fit the network.
        """
        quantize(network, self.options)
        if mismatch := Mismatch.between(shapes_of(ranges_of(network)), shapes_of(self.ranges)):
            raise ConfigError(f"quantization: the ranges do not fit the network: {mismatch}")
        network.load_state_dict(dict(self.ranges), strict=False)
        return network

    def save(self, directory: Path | str) -> None:
        """Write ``quantization.json`` and, if there are ranges, ``ranges.safetensors`` into a directory.

        Args:
            directory: Created if it does not exist.
        """
        directory = Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        (directory / RANGES_FILE).unlink(missing_ok=True)
        if self.ranges:
            write_safetensors(directory / RANGES_FILE, self.ranges)
        DESCRIPTION.write(directory / OPTIONS_FILE, {"options": self.options.model_dump()})

    @staticmethod
    def remove(directory: Path | str) -> None:
        """Remove the files that `save` wrote, if any: the network beside them is a float one."""
        for name in (OPTIONS_FILE, RANGES_FILE):
            (Path(directory) / name).unlink(missing_ok=True)

    @classmethod
    def load(cls, directory: Path | str) -> Self | None:
        """Read the files that `save` wrote; None if the directory has no ``quantization.json``.

        Raises:
            CheckpointError: A file is damaged, or of another format.
        """
        path = Path(directory) / OPTIONS_FILE
        if not path.is_file():
            return None
        try:
            options = QuantizationOptions(**DESCRIPTION.read(path)["options"])
        except ConfigError as error:
            raise CheckpointError(f"{path}: options: {error}") from None
        ranges = Path(directory) / RANGES_FILE
        return cls(options, read_safetensors(ranges) if ranges.is_file() else {})


def ranges_of(network: nn.Module) -> dict[str, Tensor]:
    """Return the tensors that quantization added to a network, by name; weights are not among them."""
    return {
        f"{path}.{kind}_quantizer.{name}".removeprefix("."): tensor
        for path, layer in quantized_layers(network).items()
        for kind, quantizer in (("input", layer.input_quantizer), ("output", layer.output_quantizer))
        if quantizer is not None
        for name, tensor in quantizer.state_dict().items()
    }
