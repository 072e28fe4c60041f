"""Frames of a video, a folder, or any iterable, run in order and in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from gancompress.deploy.runtimes.packages import optional
from gancompress.errors import ConfigError, DataError
from gancompress.io.pictures import read_picture

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".ppm", ".pgm", ".gif")


def run_frames(
    path: Path, network: Callable[..., Any], source: str | Path | Iterable[Any], batch: int, **options: Any
) -> Iterator[Any]:
    """Yield the image of each frame; see `gancompress.deploy.Loaded.frames`.

    Args:
        path: The network's file, for messages.
        network: Function on images, which takes batches of arrays and tensors.
        source: Path or iterable.
        batch: Number of frames that are run at once.
        options: Further arguments of the network.
    """
    if type(batch) is not int or batch < 1:
        raise ConfigError(f"{path}: got batch={batch!r}, expected a number of frames, 1 or more")
    held: list[Any] = []
    for frame in read_frames(source):
        frame = read_picture(Path(frame)) if isinstance(frame, str | Path) else frame
        if held and (len(held) == batch or _kind(frame) != _kind(held[0])):
            yield from _run(network, held, options)
            held = []
        held.append(frame)
    if held:
        yield from _run(network, held, options)


def is_picture(path: Path) -> bool:
    """Return whether the name of a file is one of a picture, of which it is one frame."""
    return path.suffix.lower() in PICTURE_SUFFIXES


def read_frames(source: str | Path | Iterable[Any]) -> Iterable[Any]:
    """Return the frames of a source one by one.

    Args:
        source: Path of a video or of a folder of pictures; an iterable is returned unchanged.

    Raises:
        ConfigError: A video was given, and the package ``av`` is missing; or something else than a path or an iterable.
        DataError: There is no such file, or it holds no video.
    """
    if isinstance(source, str | Path):
        path = Path(source)
        if path.is_dir():
            return sorted(each for each in path.iterdir() if is_picture(each))
        return _decoded(path)
    one = isinstance(source, Tensor | Image.Image) or (isinstance(source, np.ndarray) and source.ndim < 4)
    if one or not isinstance(source, Iterable):
        raise ConfigError(
            f"frames: got a {type(source).__name__}, expected an iterable of images, or the path of a video or folder; "
            "for one image call the network"
        )
    return source


def _decoded(path: Path) -> Iterator[Image.Image]:
    """Yield the frames of a video."""
    if not path.is_file():
        raise DataError(f"{path}: no such file, expected a video or a folder of pictures")
    av = optional("av", "video", f"{path}: reading a video")
    try:
        with av.open(str(path)) as container:
            for frame in container.decode(video=0):
                yield frame.to_image()
    except (av.FFmpegError, IndexError) as error:
        raise DataError(f"{path}: got no video that can be read ({type(error).__name__}), expected one") from None


def _kind(frame: Any) -> tuple[Any, ...]:
    """Return what frames of a batch share."""
    if isinstance(frame, Image.Image):
        return Image.Image, frame.mode, frame.size
    return type(frame), getattr(frame, "dtype", None), getattr(frame, "shape", None)


def _run(network: Callable[..., Any], frames: list[Any], options: dict[str, Any]) -> Iterator[Any]:
    """Yield the images of frames of one kind, run at once where there are several."""
    first = frames[0]
    if len(frames) == 1:
        yield network(first, **options)
    elif isinstance(first, Tensor):
        yield from network(torch.cat(frames), **options).split(len(first))
    elif isinstance(first, np.ndarray) and np.issubdtype(first.dtype, np.floating):
        yield from np.split(network(np.concatenate(frames), **options), len(frames))
    elif isinstance(first, np.ndarray) and first.ndim < 4:
        stacked = np.stack(frames) if first.ndim == 3 else np.stack(frames)[..., None]
        results = network(stacked, **options)
        yield from results[..., 0] if first.ndim == 2 and results.shape[-1] == 1 else results
    else:
        yield from (network(each, **options) for each in frames)
