"""The quantization of a network as two files beside its weights."""

from __future__ import annotations

import json
from pathlib import Path

from torch import Tensor, nn

from gancompress.errors import CheckpointError, ConfigError
from gancompress.models.state import Mismatch, shapes_of
from gancompress.models.weight_files import read_safetensors, write_atomically, write_safetensors
from gancompress.quantization.attach import quantize, quantized_layers
from gancompress.quantization.options import QuantizationOptions

OPTIONS_FILE = "quantization.json"
RANGES_FILE = "ranges.safetensors"
FORMAT = "gancompress-quantization"
FORMAT_VERSION = 1


def ranges_of(network: nn.Module) -> dict[str, Tensor]:
    """The tensors that quantization added to a network, by name; weights are not among them."""
    return {
        f"{path}.{kind}_quantizer.{name}".removeprefix("."): tensor
        for path, layer in quantized_layers(network).items()
        for kind, quantizer in (("input", layer.input_quantizer), ("output", layer.output_quantizer))
        if quantizer is not None
        for name, tensor in quantizer.state_dict().items()
    }


def save_quantization(network: nn.Module, options: QuantizationOptions, directory: Path | str) -> None:
    """Write ``quantization.json`` and ``ranges.safetensors`` (left out where nothing is kept) into a directory.

    Args:
        network: A quantized network.
        options: The options that it was quantized with.
        directory: Made when it does not exist.
    """
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    ranges = ranges_of(network)
    (directory / RANGES_FILE).unlink(missing_ok=True)
    if ranges:
        write_safetensors(directory / RANGES_FILE, ranges)
    description = {
        "format": FORMAT,
        "version": FORMAT_VERSION,
        "options": options.model_dump(),
        "layers": list(quantized_layers(network)),
    }
    write_atomically(directory / OPTIONS_FILE, f"{json.dumps(description, indent=2)}\n".encode())


def load_quantization(network: nn.Module, directory: Path | str) -> QuantizationOptions:
    """Quantize a float network, in place, as `save_quantization` described it.

    Returns:
        The options.

    Raises:
        CheckpointError: A file is missing or damaged, or describes another network.
    """
    path = Path(directory) / OPTIONS_FILE
    try:
        description = json.loads(path.read_bytes())
    except OSError:
        raise CheckpointError(f"{path}: found no such file, expected what save_quantization wrote") from None
    except ValueError as error:
        raise CheckpointError(f"{path}: got invalid JSON ({error}), expected what save_quantization wrote") from None
    if not isinstance(description, dict) or description.get("format") != FORMAT:
        raise CheckpointError(f'{path}: found no \'"format": "{FORMAT}"\', expected what save_quantization wrote')
    if description.get("version") != FORMAT_VERSION:
        raise CheckpointError(
            f"{path}: got format version {description.get('version')}, expected {FORMAT_VERSION}; update gancompress"
        )
    try:
        options = QuantizationOptions(**description["options"])
        quantize(network, options)
    except (ConfigError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path}: does not fit the network: {error}") from None
    expected, ranges = ranges_of(network), Path(directory) / RANGES_FILE
    got = read_safetensors(ranges) if expected else {}
    if mismatch := Mismatch.between(shapes_of(expected), shapes_of(got)):
        raise CheckpointError(f"{ranges}: the ranges do not fit the network: {mismatch}")
    network.load_state_dict(got, strict=False)
    return options
