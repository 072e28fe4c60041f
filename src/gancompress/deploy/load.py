"""Loading of any network that this package knows, from any kind of file, as one function on images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from gancompress.deploy.contract import contract_of, from_text
from gancompress.deploy.input_contract import InputContract
from gancompress.deploy.parity import PrecisionName
from gancompress.deploy.runtimes.registry import check_precision, open_file, runtime_of
from gancompress.deploy.runtimes.runner import Runner
from gancompress.deploy.runtimes.torch_runtime import eager
from gancompress.errors import CheckpointError, ConfigError
from gancompress.networks.importers import load_generator
from gancompress.networks.label_input import one_hot
from gancompress.quantization import Quantization

Images = TypeVar("Images", Tensor, np.ndarray, Image.Image)


class Loaded:
    """Network as a function on images, label maps or noise.

    Attributes:
        contract: Contract in the file: layout, range, channels, colour order, sizes; empty if it has none.
    """

    def __init__(self, path: Path, runner: Runner, contract: Mapping[str, Any]) -> None:
        """Store the runner of a network; call `load` instead."""
        self.contract = contract
        self._path, self._runner = path, runner
        self._takes = InputContract(path, contract, runner.inputs)

    def __call__(self, images: Images, *others: Tensor | np.ndarray | Image.Image) -> Images:
        """Run the network.

        Args:
            images: The first input. For a network of images, one of three kinds: a float tensor or array, in layout
                and range of the contract, such as [b, 3, h, w] in [-1, 1], RGB; a uint8 array [h, w, 3] or
                [b, h, w, 3], RGB ([h, w] for a network of one channel); a `PIL.Image.Image`. For a network of label
                maps: integers [b, h, w], in an array [h, w] too, or a `PIL.Image.Image` whose pixels are labels. Noise:
                floats [b, c].
            others: Further inputs of the network, in its order: instance edges ([b, h, w], like the labels, 0 or
                not), noise maps, or the like.

        Returns:
            The image or images of the network, of the same kind: tensors and float arrays channels first, unchanged;
            for integer arrays bytes, channels last.

        Raises:
            ConfigError: The inputs are of another kind or number, or have other channels than the network takes.
            InputSizeError: The network cannot take images of this size.
        """
        if self._reads_labels(images):
            return self._of_labels(images, others)
        if isinstance(images, Image.Image) and not others:
            mode = "L" if self.contract.get("channels") == 1 else "RGB"
            return Image.fromarray(self._pixels(np.asarray(images.convert(mode))))
        if isinstance(images, np.ndarray) and images.dtype == np.uint8 and not others:
            return self._pixels(images)
        result: Any = self._run(tuple(self._floats(each) for each in (images, *others)))
        return result.numpy() if isinstance(images, np.ndarray) else result

    def _reads_labels(self, images: object) -> bool:
        """Return whether the first input is a label map, which the file takes directly or as one-hot channels."""
        if isinstance(images, Image.Image):
            whole = True
        elif isinstance(images, np.ndarray):
            whole = np.issubdtype(images.dtype, np.integer)
        else:
            whole = isinstance(images, Tensor) and not images.is_floating_point()
        return whole and ("labels" in self.contract or "encoding" in self.contract)

    def _of_labels(self, labels: Images, others: Sequence[Tensor | np.ndarray | Image.Image]) -> Images:
        maps = [_as_map(each) for each in (labels, *others)]
        batch = [each[None] if each.dim() == 2 else each for each in maps]
        if "labels" not in self.contract:  # the network takes channels
            num_labels = self.contract["channels"] - len(others)
            batch = [
                torch.cat([one_hot(batch[0], num_labels), *((each[:, None] != 0).float() for each in batch[1:])], 1)
            ]
        result = self._run(tuple(batch))
        if isinstance(labels, Tensor):
            return result
        pixels: Any = _bytes(result if maps[0].dim() == 3 else result[0])
        if isinstance(labels, Image.Image):
            pixels = Image.fromarray(pixels)
        return pixels

    def _floats(self, values: object) -> Tensor:
        if isinstance(values, np.ndarray) and values.dtype != np.uint8:
            return torch.from_numpy(np.ascontiguousarray(values, np.float32))
        if isinstance(values, Tensor) and values.is_floating_point():
            return values.float()
        kind = type(values).__name__
        if isinstance(values, Tensor | np.ndarray):
            kind = f"{'tensor' if isinstance(values, Tensor) else 'array'} of {values.dtype}"
        raise ConfigError(
            f"{self._path}: got a {kind}, expected a float tensor or array, a uint8 array [h, w, 3], or a PIL image"
        )

    def _pixels(self, pixels: np.ndarray) -> np.ndarray:
        """Run the network on images of bytes, channels last, and return the same."""
        contract = self.contract
        if contract.get("layout") != "NCHW" or contract.get("range") != [-1, 1]:
            raise ConfigError(
                f"{self._path}: got an image of bytes, but the network takes {_described(contract)}; give floats"
            )
        gray = contract.get("channels") == 1 and pixels.ndim == 2
        batch = pixels[..., None] if gray else pixels
        batch = batch[None] if batch.ndim == 3 else batch
        values = torch.from_numpy(np.array(batch)).permute(0, 3, 1, 2).float() / 127.5 - 1
        result = _bytes(self._run((values,)))
        result = result[0] if pixels.ndim < 4 else result
        return result[..., 0] if result.shape[-1] == 1 and gray else result

    def _run(self, values: tuple[Tensor, ...]) -> Tensor:
        self._takes.check(values)
        inputs = self._runner.inputs
        typed = (
            tuple(tensor.to(known.dtype) for tensor, known in zip(values, inputs, strict=True)) if inputs else values
        )
        return self._runner.run(typed)[0].float()


def _as_map(values: Tensor | np.ndarray | Image.Image) -> Tensor:
    """Return integers or truth values, one for each pixel, as a tensor."""
    if isinstance(values, Tensor):
        return values
    return torch.from_numpy(np.array(values))


def _bytes(images: Tensor) -> np.ndarray:
    """Convert [..., c, h, w] in [-1, 1] to bytes [..., h, w, c]."""
    return ((images + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).movedim(-3, -1).numpy()


def _described(contract: Mapping[str, Any]) -> str:
    known = {name: contract[name] for name in ("layout", "range", "encoding", "distribution") if name in contract}
    return ", ".join(f"{name} {value}" for name, value in known.items()) or "what its file does not tell"


def load(path: Path | str, *, threads: int | None = None, precision: PrecisionName | None = None) -> Loaded:
    """Load a network that is ready to run: ``gancompress.load("model.onnx")(image)``.

    Args:
        path: A run directory, a directory or checkpoint of weights (PyTorch eager), or an exported file, whose ending
            determines its runtime: ``.onnx``, ``.xml`` (OpenVINO), ``.mlpackage`` (Core ML), ``.tflite`` (LiteRT),
            ``.pt2`` (a torch.export program), or one of a runtime of your own (`gancompress.deploy.register_runtime`).
            Only the weights of checkpoints are read, and no code in them runs; the other files are programs, which
            their runtimes run. The contract of a Core ML package can be read anywhere; it runs on macOS.
        threads: Number of threads of the file's runtime; PyTorch has `torch.set_num_threads`.
        precision: Precision of float layers, such as ``bf16`` on OpenVINO; by default that of the export.

    Raises:
        CheckpointError: There is no such file, or it fits no network.
        ConfigError: The runtime of this file does not compute in this precision.
        ExportError: The runtime is missing, or refuses the file.
    """
    path = Path(path)
    if not path.exists():
        raise CheckpointError(f"{path}: no such file or directory, expected a network to load")
    if runtime_of(path) is not None:
        runner = open_file(path, threads, precision)
        return Loaded(path, runner, from_text(runner.metadata))
    check_precision(path, None, precision)
    generator, quantization = load_generator(path), Quantization.load(path)
    network = generator.build()
    if quantization is not None:
        quantization.attach(network)
    return Loaded(path, eager(network), contract_of(generator))
