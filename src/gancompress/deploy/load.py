"""Loading of any network that this package knows, from any kind of file, as one function on images."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, overload

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from gancompress.deploy.axes import Inputs, output_names
from gancompress.deploy.contract import contract_of, from_text
from gancompress.deploy.input_contract import InputContract
from gancompress.deploy.runtimes.registry import check_precision, check_runs_code, open_file, runtime_of
from gancompress.deploy.runtimes.runner import Runner
from gancompress.deploy.runtimes.torch_runtime import eager
from gancompress.errors import CheckpointError, ConfigError, DataError
from gancompress.io.pictures import (
    array_to_channels,
    from_array,
    from_standard,
    read_picture,
    to_channels,
    to_standard,
)
from gancompress.io.source import split_key
from gancompress.networks.importers import load_generator
from gancompress.networks.label_input import one_hot
from gancompress.networks.outputs import image_of, named_outputs
from gancompress.quantization import Quantization

Images = TypeVar("Images", Tensor, np.ndarray, Image.Image)

_MARGIN = 0.1
"""Part of its range by which floats may lie outside: resizing filters and other networks overshoot."""


class Loaded:
    """Network as a function on images, label maps or noise.

    Attributes:
        contract: Contract in the file: layout, range, channels, colour order, sizes; empty if it has none.
    """

    def __init__(
        self,
        path: Path,
        runner: Runner,
        contract: Mapping[str, Any],
        by_name: Callable[[Inputs], dict[str, Tensor]] | None = None,
    ) -> None:
        """Store the runner of a network; call `load` instead."""
        self.contract = contract
        self._by_name = by_name or self._named_by_contract
        self._path, self._runner = path, runner
        self._takes = InputContract(path, contract, runner.inputs)

    @overload
    def __call__(self, images: Images, *others: Tensor | np.ndarray | Image.Image) -> Images: ...

    @overload
    def __call__(self, images: str | Path) -> Image.Image: ...

    def __call__(self, images: Any, *others: Tensor | np.ndarray | Image.Image) -> Any:
        """Run the network.

        Args:
            images: The first input. For a network of images, one of three kinds: a float tensor or array, in layout
                and range of the contract, such as [b, 3, h, w] in [-1, 1], RGB; an array of uint8, uint16 or bool,
                [h, w], [h, w, c] or [b, h, w, c]; a `PIL.Image.Image` of any mode, or the path of a picture. The last
                two become what the network takes by the rules of `gancompress.io.pictures`. For a network of label
                maps: integers [b, h, w], in an array [h, w] too, or a `PIL.Image.Image` whose pixels are labels. Noise:
                floats [b, c].
            others: Further inputs of the network, in its order: instance edges ([b, h, w], like the labels, 0 or
                not), noise maps, or the like.

        Returns:
            The image or images of the network, of the same kind: tensors and float arrays channels first, unchanged;
            for integer arrays bytes, channels last; for a path a `PIL.Image.Image`.

        Raises:
            ConfigError: The inputs are of another kind or number, or have other channels than the network takes.
            DataError: There is no such picture, or an input lies outside the range of the network or of its mode.
            InputSizeError: The network cannot take images of this size.
        """
        if isinstance(images, str | Path):
            images = read_picture(Path(images))
        result: Any = self._run(self._inputs(images, others))
        if isinstance(images, Tensor):
            return result
        if isinstance(images, np.ndarray) and np.issubdtype(images.dtype, np.floating):
            return result.numpy()
        pixels = from_standard(result)
        if isinstance(images, Image.Image):
            return from_array(pixels[0])
        dims = images.ndim + self._reads_labels(images)  # of an image with its channels
        pixels = pixels if dims == 4 else pixels[0]
        return pixels[..., 0] if images.ndim == 2 and pixels.shape[-1] == 1 else pixels

    def _inputs(self, images: Any, others: tuple[Any, ...]) -> Inputs:
        """Return all inputs as the network takes them, with a batch axis."""
        if self._reads_labels(images):
            return self._label_maps((images, *others))
        return tuple(self._tensor(each, place) for place, each in enumerate((images, *others)))

    def _reads_labels(self, images: object) -> bool:
        """Return whether the first input is a label map, which the file takes directly or as one-hot channels."""
        if isinstance(images, Image.Image):
            whole = True
        elif isinstance(images, np.ndarray):
            whole = np.issubdtype(images.dtype, np.integer)
        else:
            whole = isinstance(images, Tensor) and not images.is_floating_point()
        return whole and ("labels" in self.contract or "encoding" in self.contract)

    def _label_maps(self, maps: Sequence[Tensor | np.ndarray | Image.Image]) -> Inputs:
        batch = [each[None] if each.dim() == 2 else each for each in map(_as_map, maps)]
        if "labels" in self.contract:
            return tuple(batch)
        num_labels = self.contract["channels"] - len(maps) + 1
        borders = ((each[:, None] != 0).float() for each in batch[1:])
        return (torch.cat([one_hot(batch[0], num_labels), *borders], 1),)

    def _tensor(self, values: object, place: int) -> Tensor:
        """Return an input as floats; pictures as [b, c, h, w] in [-1, 1]."""
        if isinstance(values, Image.Image):
            return to_standard(to_channels(values, self._picture_channels(place), str(self._path)))[None]
        if isinstance(values, np.ndarray) and not np.issubdtype(values.dtype, np.floating):
            return to_standard(array_to_channels(values, self._picture_channels(place), str(self._path)))
        if isinstance(values, np.ndarray):
            values = torch.from_numpy(np.ascontiguousarray(values, np.float32))
        if isinstance(values, Tensor) and values.is_floating_point():
            if place == 0:
                self._check_range(values)
            return values.float()
        kind = f"tensor of {values.dtype}" if isinstance(values, Tensor) else type(values).__name__
        raise ConfigError(
            f"{self._path}: got a {kind}, expected a float tensor or array, pixels of uint8 or uint16, a PIL image, or "
            "the path of one"
        )

    def _picture_channels(self, place: int) -> int:
        """Return the number of channels that a picture needs as an input of the network.

        Raises:
            ConfigError: The network takes no pictures, or does not tell.
        """
        contract = self.contract
        if contract.get("layout") != "NCHW" or contract.get("range") != [-1, 1]:
            raise ConfigError(
                f"{self._path}: got an image of bytes, but the network takes {_described(contract)}; give floats"
            )
        shape = self._runner.inputs[place].shape if place < len(self._runner.inputs) else ()
        known = shape[1] if len(shape) == 4 else contract.get("channels") if place == 0 else None
        return known or 3

    def _check_range(self, values: Tensor) -> None:
        """Raise DataError if values are clearly outside the range of the network's images."""
        limits = self.contract.get("range")
        if not isinstance(limits, list) or not values.numel() or values.dim() < 3:
            return
        low, high = limits
        margin, lowest, highest = _MARGIN * (high - low), float(values.min()), float(values.max())
        if not (lowest >= low - margin and highest <= high + margin):  # NaN is outside, too
            raise DataError(
                f"{self._path}: got floats from {lowest:g} to {highest:g}, expected {low:g} to {high:g}; scale them, "
                "or give a picture or an array of uint8"
            )

    def outputs(self, images: Tensor | np.ndarray | Image.Image | str | Path, *others: Any) -> dict[str, Tensor]:
        """Run the network and return all its outputs by name, as tensors in its range.

        Args:
            images: The first input, as in a call.
            others: Further inputs, as in a call.

        Raises:
            GanCompressError: As a call does.
        """
        if isinstance(images, str | Path):
            images = read_picture(Path(images))
        return self._named(self._inputs(images, others))

    def _run(self, values: tuple[Tensor, ...]) -> Tensor:
        return image_of(self._named(values)).float()

    def _named(self, values: tuple[Tensor, ...]) -> dict[str, Tensor]:
        self._takes.check(values)
        inputs = self._runner.inputs
        typed = (
            tuple(tensor.to(known.dtype) for tensor, known in zip(values, inputs, strict=True)) if inputs else values
        )
        return self._by_name(typed)

    def _named_by_contract(self, values: Inputs) -> dict[str, Tensor]:
        results = self._runner.run(values)
        return dict(zip(self.contract.get("outputs") or output_names(len(results)), results, strict=True))


def _as_map(values: Tensor | np.ndarray | Image.Image) -> Tensor:
    """Return integers or truth values, one for each pixel, as a tensor."""
    if isinstance(values, Tensor):
        return values
    return torch.from_numpy(np.array(values))


def _described(contract: Mapping[str, Any]) -> str:
    known = {name: contract[name] for name in ("layout", "range", "encoding", "distribution") if name in contract}
    return ", ".join(f"{name} {value}" for name, value in known.items()) or "what its file does not tell"


def load(path: Path | str, *, threads: int | None = None, precision: str | None = None, trust: bool = False) -> Loaded:
    """Load a network that is ready to run: ``gancompress.load("model.onnx")(image)``.

    Args:
        path: A run directory, a directory or checkpoint of weights (PyTorch eager), or an exported file, whose ending
            determines its runtime: ``.onnx``, ``.xml`` (OpenVINO), ``.mlpackage`` (Core ML), ``.tflite`` (LiteRT),
            ``.pt2`` (a torch.export program), or one of a runtime of your own (`gancompress.deploy.register_runtime`).
            Only the weights of checkpoints are read, and no code in them runs; other files are operators, which their
            runtimes compute. The contract of a Core ML package can be read anywhere; it runs on macOS.
        threads: Number of threads of the file's runtime; PyTorch has `torch.set_num_threads`.
        precision: Precision of float layers, such as ``bf16`` on OpenVINO; by default that of the export.
        trust: Consent to run code: of the class that a directory names, if it is no registered family, and of ``.pt2``.

    Raises:
        TrustError: The directory names such a class, or the file can hold any code, without consent.
        CheckpointError: There is no such file, or it fits no network.
        ConfigError: The runtime of this file does not compute in this precision.
        ExportError: The runtime is missing, or refuses the file.
    """
    source, path = path, split_key(path)[0]
    if not path.exists():
        raise CheckpointError(f"{path}: no such file or directory, expected a network to load")
    if runtime_of(path) is not None:
        check_runs_code(path, trust)
        runner = open_file(path, threads, precision)
        return Loaded(path, runner, from_text(runner.metadata))
    check_precision(path, None, precision)
    generator, quantization = load_generator(source, trust=trust), Quantization.load(path)
    network = generator.build()
    if quantization is not None:
        quantization.attach(network)

    @torch.inference_mode()
    def by_name(values: Inputs) -> dict[str, Tensor]:
        return named_outputs(network(*values))

    return Loaded(path, eager(network), contract_of(generator), by_name)
