"""Masks of the content of an image: providers that return functions from images to the pixels that count.

Source: Liu et al., Content-Aware GAN Compression, CVPR 2021, section 3.1.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from pydantic import BeforeValidator, Field, SerializeAsAny
from torch import Tensor
from torch.nn import functional as F

from gancompress.errors import ConfigError, DataError
from gancompress.io import file_sha256
from gancompress.io.pictures import to_channels
from gancompress.options import as_tuple
from gancompress.perception.network_file import NetworkFile
from gancompress.registry import AnyFunction, Kind, KindRegistry, function_of, path_of

Mask = Callable[[Tensor, Sequence[str]], Tensor]
"""Function of images [b, 3, h, w] in [-1, 1], RGB, and their names (empty if none) to [b, 1, h, w] of 0 and 1."""

Class = Annotated[int, Field(ge=0)]
Classes = Annotated[tuple[Class, ...], BeforeValidator(as_tuple), Field(min_length=1)]
Triple = Annotated[tuple[float, float, float], BeforeValidator(as_tuple)]
Part = Annotated[float, Field(gt=0, le=1)]

FACE_CLASSES = 19
"""Classes of CelebAMask-HQ."""
FACE_CONTENT = tuple(c for c in range(FACE_CLASSES) if c not in (0, 16))
"""All face classes except background and cloth: face, hair, neck, hat, glasses, ears."""


class MaskOptions(Kind, ABC):
    """Base of options of a mask provider."""

    @property
    def fingerprint(self) -> str | None:
        """Identifier of the masks; None if the same options can give other masks."""
        return self.model_dump_json()

    @abstractmethod
    def load(self) -> Mask:
        """Load the mask function.

        Raises:
            CheckpointError: A network cannot be read.
            ConfigError: A function cannot be found.
            DataError: A folder does not exist.
        """


MASKS: KindRegistry[MaskOptions] = KindRegistry("masks", MaskOptions, "a kind of mask")
"""Every kind of mask by its name."""

register_mask = MASKS.add
"""Add a subclass of `MaskOptions` under its ``kind``; a decorator."""

AnyMask = Annotated[SerializeAsAny[MaskOptions], BeforeValidator(MASKS.parse)]
"""A mask in options."""


@register_mask
class NoMask(MaskOptions):
    """Mask of the whole image: everything is content."""

    kind = "none"

    def load(self) -> Mask:
        """Return a function that returns ones."""
        return lambda images, names: torch.ones_like(images[:, :1])


@register_mask
class EllipseMask(MaskOptions):
    """Elliptical mask in the middle of every image.

    Attributes:
        height: Height of the ellipse as a fraction of the image height.
        width: Width of the ellipse as a fraction of the image width.
    """

    kind = "ellipse"

    height: Part = 0.9
    width: Part = 0.7

    def load(self) -> Mask:
        """Return a function that draws the ellipse at the size of the images."""

        def mask(images: Tensor, names: Sequence[str]) -> Tensor:
            rows, columns = (
                (torch.arange(size, device=images.device) + 0.5) * 2 / size - 1 for size in images.shape[2:]
            )
            inside = (rows[:, None] / self.height).square() + (columns / self.width).square() <= 1
            return inside.to(images.dtype).expand(len(images), 1, -1, -1)

        return mask


@register_mask
class NetworkMask(MaskOptions):
    """Mask of the pixels that a segmentation network assigns to one of the content's classes.

    Attributes:
        path: TorchScript, or ONNX as ``*.onnx``, from images [b, 3, h, w] to logits [b, classes, h', w'], or to several
            tensors with the logits first.
        classes: Numbers of the classes that are content.
        num_classes: Classes that the network must have; by default more than the largest number in ``classes``.
        input_px: Height and width of the network's input; by default images keep their size.
        mean: Mean that is subtracted from each colour in [0, 1] before the network.
        std: Standard deviation that each colour is then divided by.
    """

    kind = "network"

    path: str
    classes: Classes
    num_classes: Annotated[int, Field(ge=1)] | None = None
    input_px: Annotated[int, Field(ge=1)] | None = None
    mean: Triple = (0.0, 0.0, 0.0)
    std: Triple = (1.0, 1.0, 1.0)

    @property
    def fingerprint(self) -> str | None:
        """Identifier from the options and the network's weights, independent of its path."""
        return f"{self.model_dump_json(exclude={'path'})} {file_sha256(Path(self.path))}"

    def load(self) -> Mask:
        """Return a function that runs the network and resizes its mask to the size of the images."""
        network = NetworkFile(self.path).eval()
        content = torch.tensor(self.classes)

        @torch.no_grad()
        def mask(images: Tensor, names: Sequence[str]) -> Tensor:
            network.to(images.device)
            mean, std = (torch.tensor(each, device=images.device)[:, None, None] for each in (self.mean, self.std))
            shown = (images.float() + 1) / 2
            if self.input_px is not None:
                shown = F.interpolate(shown, (self.input_px, self.input_px), mode="bilinear", align_corners=False)
            logits = network((shown - mean) / std)[0]
            self._check(logits, len(images))
            found = torch.isin(logits.argmax(1, keepdim=True), content.to(logits.device)).float()
            size = (images.shape[2], images.shape[3])
            found = F.interpolate(found, size, mode="bilinear", align_corners=False)
            return (found > 0.5).to(images.dtype)

        return mask

    def _check(self, logits: Tensor, num_images: int) -> None:
        if logits.dim() != 4 or len(logits) != num_images:
            raise ConfigError(
                f"mask: {self.path} returned shape {tuple(logits.shape)} for {num_images} images, expected logits "
                "[images, classes, height, width]; wrap the network so"
            )
        found = logits.shape[1]
        wrong = found != self.num_classes if self.num_classes is not None else found <= max(self.classes)
        if wrong:
            expected = self.num_classes if self.num_classes is not None else f"more than {max(self.classes)}"
            raise ConfigError(
                f"mask: {self.path} tells {found} classes apart, expected {expected} for the content classes "
                f"{', '.join(map(str, self.classes))}; give the network or the classes that belong together"
            )


@register_mask
class BisenetMask(NetworkMask):
    """Mask from face parsing by BiSeNet, 19 classes of CelebAMask-HQ, without background and cloth as in the paper.

    Source: Yu et al., BiSeNet, ECCV 2018; zllrunning/face-parsing.PyTorch, exported as TorchScript or ONNX.
    """

    kind = "bisenet"

    classes: Classes = FACE_CONTENT
    num_classes: Annotated[int, Field(ge=1)] | None = FACE_CLASSES
    input_px: Annotated[int, Field(ge=1)] | None = 512
    mean: Triple = (0.485, 0.456, 0.406)
    std: Triple = (0.229, 0.224, 0.225)


@register_mask
class FolderMask(MaskOptions):
    """Masks from image files, one for each image: pixels lighter than mid grey are content.

    Attributes:
        root: The folder; the mask of the image ``a/0001`` is ``a/0001.png``.
    """

    kind = "folder"

    root: str

    @property
    def fingerprint(self) -> str | None:
        """Always None, because the files can change."""
        return None

    def load(self) -> Mask:
        """Return a function that reads the masks by the names of the images."""
        root = Path(self.root)
        if not root.is_dir():
            raise DataError(f"mask: found no folder {root}, expected one of masks; check the path")

        def mask(images: Tensor, names: Sequence[str]) -> Tensor:
            if len(names) != len(images):
                raise DataError(
                    "mask: got images without names, expected those of the folder's masks; images from noise have "
                    "none: use another kind of mask"
                )
            masks = [_read_mask(root / f"{Path(name).with_suffix('')}.png", images) for name in names]
            return torch.stack(masks).to(images)

        return mask


def _read_mask(path: Path, images: Tensor) -> Tensor:
    try:
        with Image.open(path) as file:
            pixels = torch.from_numpy(np.array(to_channels(file, 1, f"mask: {path}")))
    except FileNotFoundError:
        raise DataError(f"mask: found no {path}, expected a mask for every image; add it") from None
    except (UnidentifiedImageError, OSError) as error:
        raise DataError(
            f"mask: cannot read {path} ({type(error).__name__}), expected an image; save it again"
        ) from None
    height, width = images.shape[2:]
    if tuple(pixels.shape) != (height, width):
        raise DataError(
            f"mask: {path} is {pixels.shape[0]}x{pixels.shape[1]} (height x width), expected {height}x{width} as its "
            "image; resize it"
        )
    return (pixels > 127)[None]


@MASKS.accept_functions
class FunctionMask(MaskOptions):
    """Mask computed by a user's function.

    Attributes:
        function: Function from images [b, 3, h, w] in [-1, 1], RGB, to masks [b, 1, h, w] in [0, 1]. In a recipe its
            import path, ``package.module:name``.
    """

    kind = "function"

    function: AnyFunction

    @property
    def fingerprint(self) -> str | None:
        """Always None, because the code of the function can change."""
        return None

    def load(self) -> Mask:
        """Return a function that checks the masks of the user's function."""
        function = function_of(self.function)

        def mask(images: Tensor, names: Sequence[str]) -> Tensor:
            with torch.no_grad():
                made = function(images)
            expected = (len(images), 1, *images.shape[2:])
            if not isinstance(made, Tensor) or tuple(made.shape) != expected:
                got = tuple(made.shape) if isinstance(made, Tensor) else type(made).__name__
                raise ConfigError(
                    f"mask: {path_of(self.function)} returned {got}, expected masks of shape {expected}; fix it"
                )
            return (made > 0.5).to(images.dtype)

        return mask
