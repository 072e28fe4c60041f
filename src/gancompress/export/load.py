"""Any network that this package knows, from whichever file, as one function on images."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from gancompress.errors import CheckpointError, ConfigError, InputSizeError
from gancompress.export.contract import contract_of, from_text
from gancompress.export.runtimes import onnx_runtime, openvino_runtime, torch_runtime
from gancompress.export.runtimes.openvino_runtime import Precision
from gancompress.export.runtimes.runner import Runner
from gancompress.models.importers import load_generator
from gancompress.quantization import Quantization

Images = TypeVar("Images", Tensor, np.ndarray, Image.Image)


class Loaded:
    """A network as a function on images.

    Attributes:
        contract: What the file says about itself: layout, range, channels, colour order, sizes; empty where it says
            nothing.
    """

    def __init__(self, path: Path, runner: Runner, contract: Mapping[str, Any]) -> None:
        """Made by `load`."""
        self.contract = contract
        self._path, self._runner = path, runner

    def __call__(self, images: Images) -> Images:
        """Run the network.

        Args:
            images: One of three kinds. A float tensor or array, in layout and range of the contract, such as
                [b, 3, h, w] in [-1, 1], RGB; or noise [b, c]. A uint8 array [h, w, 3] or [b, h, w, 3], RGB ([h, w]
                for a network of one channel). A `PIL.Image.Image`.

        Returns:
            The image or images of the network, of the same kind.

        Raises:
            ConfigError: The images are of another kind, or have other channels than the network takes.
            InputSizeError: The network cannot take images of this size.
        """
        if isinstance(images, Image.Image):
            mode = "L" if self.contract.get("channels") == 1 else "RGB"
            return Image.fromarray(self._pixels(np.asarray(images.convert(mode))))
        if isinstance(images, np.ndarray):
            if images.dtype == np.uint8:
                return self._pixels(images)
            return self._run(torch.from_numpy(np.ascontiguousarray(images, np.float32))).numpy()
        if not isinstance(images, Tensor) or not images.is_floating_point():
            kind = f"a tensor of {images.dtype}" if isinstance(images, Tensor) else f"a {type(images).__name__}"
            raise ConfigError(
                f"{self._path}: got {kind}, expected a float tensor or array, a uint8 array [h, w, 3], or a PIL image"
            )
        return self._run(images.float())

    def _pixels(self, pixels: np.ndarray) -> np.ndarray:
        """Images of bytes, channels last, in and out."""
        contract = self.contract
        if contract.get("layout") != "NCHW" or contract.get("range") != [-1, 1] or contract.get("encoding"):
            raise ConfigError(
                f"{self._path}: got an image of bytes, but the network takes {_described(contract)}; give floats"
            )
        gray = contract.get("channels") == 1 and pixels.ndim == 2
        batch = pixels[..., None] if gray else pixels
        batch = batch[None] if batch.ndim == 3 else batch
        values = torch.from_numpy(np.array(batch)).permute(0, 3, 1, 2).float() / 127.5 - 1
        result = ((self._run(values) + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).numpy()
        result = result[0] if pixels.ndim < 4 else result
        return result[..., 0] if result.shape[-1] == 1 and gray else result

    def _run(self, values: Tensor) -> Tensor:
        self._check(tuple(values.shape))
        return self._runner.run((values,))[0]

    def _check(self, shape: tuple[int, ...]) -> None:
        """What a runtime would refuse in words of its own."""
        contract, dims = self.contract, {"NCHW": 4, "NC": 2}.get(self.contract.get("layout", ""))
        channels = contract.get("channels", contract.get("latent_size", 0) + contract.get("num_classes", 0))
        if dims is not None and (len(shape) != dims or shape[1] != channels):
            raise ConfigError(
                f"{self._path}: got values of shape {list(shape)}, expected {channels} channels in layout "
                f"{contract['layout']} (bytes: channels last)"
            )
        if dims == 4:
            multiple, smallest = contract.get("size_multiple_px", 1), contract.get("min_size_px", 1)
            if any(side % multiple or side < smallest for side in shape[2:]):
                raise InputSizeError(
                    f"{self._path}: got images of {shape[2]}x{shape[3]} (height x width), expected both divisible by "
                    f"{multiple} and at least {smallest} px; resize them"
                )
        for fixed in self._runner.input_shapes[:1]:
            if any(size not in (None, got) for size, got in zip(fixed, shape, strict=False)):
                wanted = "x".join("any" if size is None else str(size) for size in fixed)
                raise InputSizeError(
                    f"{self._path}: got values of {'x'.join(map(str, shape))}, expected {wanted}, the size that the "
                    "file was exported for; export it with free sizes, or for this one"
                )


def _described(contract: Mapping[str, Any]) -> str:
    known = {name: contract[name] for name in ("layout", "range", "encoding", "distribution") if name in contract}
    return ", ".join(f"{name} {value}" for name, value in known.items()) or "what its file does not tell"


def load(path: Path | str, *, threads: int | None = None, precision: Precision = "fp32") -> Loaded:
    """A network that is ready to run: ``gancompress.load("model.onnx")(image)``.

    Args:
        path: A run directory, a directory or checkpoint of weights (PyTorch eager), ``.onnx`` (onnxruntime), ``.xml``
            (OpenVINO), or ``.pt2`` (a torch.export program). Only weights of checkpoints are read, nothing in them is
            run; the other files are programs, which their runtimes run.
        threads: Threads of onnxruntime or OpenVINO; PyTorch has `torch.set_num_threads`.
        precision: What OpenVINO computes in.

    Raises:
        CheckpointError: There is no such file, or it fits no network.
        ConfigError: An option that this kind of file has not.
        ExportError: The runtime is missing, or refuses the file.
    """
    path = Path(path)
    if not path.exists():
        raise CheckpointError(f"{path}: no such file or directory, expected a network to load")
    if precision != "fp32" and path.suffix != ".xml":
        raise ConfigError(f"{path}: got precision '{precision}', which is for OpenVINO's .xml files; leave it out")
    if path.suffix == ".onnx":
        runner = onnx_runtime.open_file(path, threads)
    elif path.suffix == ".xml":
        runner = openvino_runtime.open_file(path, threads, precision)
    elif path.suffix == ".pt2":
        runner = torch_runtime.open_program(path)
    else:
        generator, quantization = load_generator(path), Quantization.load(path)
        network = generator.build()
        if quantization is not None:
            quantization.attach(network)
        return Loaded(path, torch_runtime.eager(network), contract_of(generator))
    return Loaded(path, runner, from_text(runner.metadata))
