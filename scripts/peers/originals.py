"""Checkouts of the papers' own code, run as they are, on the CPU and with today's packages.

Nothing here is code of theirs. Packages that they import and that a run on the CPU does not need are replaced by empty
modules; functions that PyTorch, NumPy or torchvision removed are put back; calls that ask for a GPU stay on the CPU.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
import torch._dynamo  # before any stand-in: an optimizer would import it, and it looks for packages
from PIL import Image
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvTransposeNd

UNUSED = (
    *("cv2", "dominate", "imageio", "matplotlib.pyplot", "skimage", "skimage.color", "skimage.io", "tensorboardX"),
    *("torchprofile", "tqdm"),
)
"""Packages with which the originals draw, log and measure, which is done in another way here."""


class _Anything(ModuleType):
    """Module with every name; each is a function that does nothing."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.__spec__ = ModuleSpec(name, None)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Nothing


class _Nothing:
    """Object that can be called, and whose methods do nothing."""

    def __init__(self, *_: object, **__: object) -> None:
        pass

    def __getattr__(self, name: str) -> Any:
        return lambda *_, **__: None


@contextmanager
def checkout(
    folder: Path,
    work: Path,
    arguments: Sequence[str],
    replaced: Mapping[str, Mapping[str, Any]],
    trunk: nn.Module | None = None,
) -> Iterator[None]:
    """Import modules of a checkout, with its working directory, its command line, and no GPU.

    Args:
        folder: The checkout.
        work: Working directory of its programs, created if it is missing.
        arguments: Command line of its programs.
        replaced: Modules of the checkout that are not used, such as those of its metrics, with the names that its other
            modules need of them.
        trunk: Sixteen-layer VGG that ``torchvision.models.vgg16`` returns; layers that change nothing by default, for
            programs that build it and do not use it.
    """
    if not folder.is_dir():
        raise SystemExit(f"{folder}: found no such folder, expected a checkout of the original's repository")
    work.mkdir(parents=True, exist_ok=True)
    before, place, command, path = set(sys.modules), Path.cwd(), sys.argv, list(sys.path)
    standing_in = _stand_ins(trunk) | {name: _Anything(name) for name in replaced}
    for name, known in replaced.items():
        vars(standing_in[name]).update(known)
    hidden = {name: sys.modules.pop(name) for name in standing_in if name in sys.modules}
    sys.modules.update(standing_in)
    sys.argv, sys.path[:] = [str(folder / "run.py"), *map(str, arguments)], [str(folder), *path]
    os.chdir(work)
    try:
        with _on_the_cpu():
            yield
    finally:
        os.chdir(place)
        sys.argv, sys.path[:] = command, path
        for name in set(sys.modules) - before:
            if name in standing_in or _lies_in(sys.modules[name], folder):
                del sys.modules[name]
        sys.modules.update(hidden)


def _lies_in(module: ModuleType, folder: Path) -> bool:
    places = [getattr(module, "__file__", None), *getattr(module, "__path__", ())]
    return any(Path(place).resolve().is_relative_to(folder.resolve()) for place in places if place)


def _stand_ins(trunk: nn.Module | None) -> dict[str, ModuleType]:
    """Return modules by name: torchvision as far as images are read, and the packages that are not needed."""
    made: dict[str, ModuleType] = {name: _Anything(name) for name in UNUSED}
    made |= {name: _Anything(name) for name in ("torchvision", "torchvision.utils")}
    transforms, models = ModuleType("torchvision.transforms"), _Anything("torchvision.models")
    for each in (Compose, Lambda, Resize, ToTensor, Normalize):
        setattr(transforms, each.__name__, each)
    vgg = nn.Module()
    vgg.features = nn.Sequential(*(nn.Identity() for _ in range(31))) if trunk is None else trunk
    models.vgg16 = lambda **_: vgg
    made |= {"torchvision.transforms": transforms, "torchvision.models": models}
    made["tqdm"].tqdm, made["tqdm"].trange = (lambda each, **_: each), (lambda *ends, **_: _Range(*ends))
    made["torchvision"].transforms, made["torchvision"].models = transforms, models
    return made


class _Range:
    """Range that takes the lines of a progress bar and drops them."""

    def __init__(self, *ends: int) -> None:
        self._numbers = range(*ends)

    def __iter__(self) -> Iterator[int]:
        return iter(self._numbers)

    def write(self, line: str) -> None:
        pass


@contextmanager
def _on_the_cpu() -> Iterator[None]:
    """Keep tensors and modules on the CPU where a GPU is asked for."""
    changed: list[tuple[Any, str, Any]] = [
        (torch.cuda, "FloatTensor", torch.FloatTensor),
        (Tensor, "cuda", lambda self, *_, **__: self),
        (nn.Module, "cuda", lambda self, *_, **__: self),
        (torch, "load", _load_own_file),
        (torch.utils.data, "DataLoader", _loader_of_this_process),
        (_ConvTransposeNd, "_output_padding", _output_padding),
        (torch.backends.cudnn, "enabled", torch.backends.cudnn.enabled),
        (torch.backends.cudnn, "benchmark", torch.backends.cudnn.benchmark),
        (torch.backends.cudnn, "deterministic", torch.backends.cudnn.deterministic),
    ]
    before = [(owner, name, getattr(owner, name)) for owner, name, _ in changed]
    for owner, name, value in changed:
        setattr(owner, name, value)
    try:
        yield
    finally:
        for owner, name, value in before:
            setattr(owner, name, value)


_load, _Loader, _padding = torch.load, torch.utils.data.DataLoader, _ConvTransposeNd._output_padding


def _output_padding(self: nn.Module, *arguments: Any) -> list[int]:
    """Return the padding of a transposed convolution, of two dimensions as PyTorch before 1.12 took for granted."""
    return _padding(self, *arguments, *([2] if len(arguments) == 5 else []))


def _load_own_file(file: Any, **options: Any) -> Any:
    """Load a file that the same program has written, with NumPy's numbers in it, as PyTorch did before 2.6."""
    return _load(file, **{**options, "weights_only": False})


def _loader_of_this_process(*arguments: Any, **options: Any) -> Any:
    """Return a loader without workers, so that the processor time of this process counts all work."""
    return _Loader(*arguments, **{**options, "num_workers": 0})


class Compose:
    """Several transforms, one after another."""

    def __init__(self, transforms: Sequence[Callable[[Any], Any]]) -> None:
        self._transforms = transforms

    def __call__(self, image: Any) -> Any:
        """Return the image after all transforms."""
        for transform in self._transforms:
            image = transform(image)
        return image


class Lambda:
    """A function as a transform."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self._function = function

    def __call__(self, image: Any) -> Any:
        """Return the function's value."""
        return self._function(image)


class Resize:
    """Resize an image to (height, width)."""

    def __init__(self, size: Sequence[int], method: int) -> None:
        self._size, self._method = (size[1], size[0]), method

    def __call__(self, image: Image.Image) -> Image.Image:
        """Return the image at the size."""
        return image if image.size == self._size else image.resize(self._size, self._method)


class ToTensor:
    """Turn an image into a tensor [3, h, w] in [0, 1]."""

    def __call__(self, image: Image.Image) -> Tensor:
        """Return the image as a tensor."""
        return torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1).contiguous().float() / 255


class Normalize:
    """Subtract a mean and divide by a deviation, channel by channel."""

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        self._mean, self._std = (torch.tensor(each).view(-1, 1, 1) for each in (mean, std))

    def __call__(self, image: Tensor) -> Tensor:
        """Return the normalised tensor."""
        return (image - self._mean) / self._std
