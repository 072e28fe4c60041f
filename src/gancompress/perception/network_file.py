"""Networks from files: TorchScript, or ONNX through onnxruntime."""

from __future__ import annotations

import importlib.util
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from gancompress.errors import CheckpointError, ConfigError
from gancompress.perception.trunk import freeze

ONNX_SUFFIX = ".onnx"


class NetworkFile(nn.Module):
    """A network read from a file, whose outputs are returned as a list of tensors.

    Its input is [b, 3, h, w], RGB in [0, 1]; the file includes any normalisation that it needs.

    Attributes:
        differentiable: Whether gradients reach the images; they do not through ONNX.
    """

    def __init__(self, path: str | Path, device: torch.device | str = "cpu") -> None:
        """Read the file.

        Args:
            path: ``*.onnx``, or else a TorchScript program.
            device: Device of a TorchScript program; ONNX runs on the CPU.

        Raises:
            CheckpointError: The file is missing or cannot be read.
            ConfigError: It is ONNX and onnxruntime is not installed.
        """
        super().__init__()
        path = Path(path)
        if not path.is_file():
            raise CheckpointError(f"{path}: found no such file, expected a TorchScript or ONNX network; check the path")
        self.path = path
        self.differentiable = path.suffix != ONNX_SUFFIX
        self.network = _OnnxNetwork(path) if path.suffix == ONNX_SUFFIX else _read_torchscript(path, device)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Map images [b, 3, h, w], RGB in [0, 1], to the network's outputs.

        Raises:
            CheckpointError: The network fails on these images, or returns something other than tensors.
        """
        try:
            outputs = self.network(images)
        except Exception as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[-1]
            raise CheckpointError(
                f"{self.path}: running it on images of shape {tuple(images.shape)} failed ({reason}), expected a "
                "network of RGB images; give the image size it was made for"
            ) from error
        outputs = [outputs] if isinstance(outputs, Tensor) else list(outputs)
        if not outputs or not all(isinstance(output, Tensor) for output in outputs):
            kinds = ", ".join(type(output).__name__ for output in outputs) or "nothing"
            raise CheckpointError(
                f"{self.path}: got {kinds} from the network, expected a tensor or a list of tensors; wrap it so"
            )
        return outputs


def check_runtime(path: Path) -> None:
    """Check that a file can be run, if it is ONNX. Raises ConfigError if onnxruntime is not installed."""
    if path.suffix == ONNX_SUFFIX and importlib.util.find_spec("onnxruntime") is None:
        raise ConfigError(
            f"{path}: found no onnxruntime, expected it for ONNX networks; pip install 'gancompress[onnx]'"
        )


class _OnnxNetwork(nn.Module):
    def __init__(self, path: Path) -> None:
        super().__init__()
        check_runtime(path)
        import onnxruntime

        try:
            self.session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        except Exception as error:
            raise CheckpointError(
                f"{path}: got a file that onnxruntime cannot read ({type(error).__name__}), expected an ONNX network; "
                "it may be cut off: export it again"
            ) from None

    def forward(self, images: Tensor) -> list[Tensor]:
        name = self.session.get_inputs()[0].name
        outputs = self.session.run(None, {name: images.detach().cpu().numpy()})
        return [torch.from_numpy(output).to(images.device) for output in outputs]


def _read_torchscript(path: Path, device: torch.device | str) -> nn.Module:
    try:
        with warnings.catch_warnings():
            # Reading TorchScript is deprecated in favour of torch.export, which cannot read existing files.
            warnings.simplefilter("ignore", DeprecationWarning)
            return freeze(torch.jit.load(str(path), map_location=device))
    except Exception as error:
        raise CheckpointError(
            f"{path}: got a file that torch.jit cannot read ({type(error).__name__}), expected a TorchScript program; "
            "save one with torch.jit.save, or an ONNX file named *.onnx"
        ) from None
