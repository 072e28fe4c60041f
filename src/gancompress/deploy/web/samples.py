"""Sample inputs of a page: drawn scenes and label maps, or files of a folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from gancompress.data import Classes
from gancompress.data.decoding import IMAGE_SUFFIXES, LOSSLESS_SUFFIXES, Decoding, decode_rgb
from gancompress.data.label_maps import decode_label
from gancompress.data.scene import random_scene, render
from gancompress.data.storage import File, open_storage
from gancompress.deploy.web.manifest import Sample, Start, kind_of
from gancompress.errors import DataError
from gancompress.networks.file_form import FileForm

Size = tuple[int, int]
"""Height and width in pixels."""

_MOST = 12


def drawn_inputs(form: FileForm, start: Start = "photo", count: int = 6) -> list[Sample]:
    """Return drawn inputs for a network of images or label maps; none for one of noise.

    Args:
        form: Form in which its file takes its inputs.
        start: Kind of the images: sketches or photos.
        count: Number of inputs.

    Raises:
        ExportError: See `kind_of`.
    """
    kind, first = kind_of(form), form.inputs[0]
    if kind == "latent":
        return []
    size = (int(first.shape[-2]), int(first.shape[-1]))
    return drawn_scenes(start, size, count) if kind == "image" else drawn_label_maps(_labels(form), size, count)


def drawn_scenes(start: Start, size: Size, count: int = 6) -> list[Sample]:
    """Draw scenes: line drawings for a page that begins with a sketch, else shaded pictures."""
    samples = []
    for seed in range(count):
        drawing, picture = render(random_scene(np.random.default_rng(seed)), max(size))
        image = Image.fromarray(drawing if start == "sketch" else picture)
        samples.append(Sample(f"scene {seed + 1}", _cut(image, size, Image.Resampling.BICUBIC)))
    return samples


def drawn_label_maps(num_labels: int, size: Size, count: int = 6) -> list[Sample]:
    """Draw landscapes of labels: two wavy bands with discs and boxes before them."""
    height, width = size
    rows, columns = np.mgrid[:height, :width] / min(size)
    samples = []
    for seed in range(count):
        draw = np.random.default_rng(seed)
        labels = np.full(size, draw.integers(num_labels), np.uint8)
        for level in (0.4, 0.7):
            horizon = level * height / min(size) + 0.05 * np.sin(draw.uniform(3, 9) * columns + draw.uniform(0, 6))
            labels[rows > horizon] = draw.integers(num_labels)
        for number in range(4):
            centre = draw.uniform(0.3, 0.9) * height / min(size), draw.uniform(0.1, 0.9) * width / min(size)
            high, wide = draw.uniform(0.06, 0.2, 2)
            down, right = np.abs(rows - centre[0]) / high, np.abs(columns - centre[1]) / wide
            inside = np.hypot(down, right) < 1 if number % 2 else np.maximum(down, right) < 1
            labels[inside] = draw.integers(num_labels)
        samples.append(Sample(f"landscape {seed + 1}", Image.fromarray(labels)))
    return samples


def read_samples(
    folder: Path, size: Size, classes: Classes | None = None, *, most: int = _MOST, option: str = "--samples"
) -> list[Sample]:
    """Return the first images of a folder, cropped to a size around their centre.

    Args:
        folder: Folder of the images.
        size: Height and width in pixels.
        classes: Meaning of the values of label maps; None for images.
        most: Largest number of images.
        option: The option that names the folder, for messages.

    Raises:
        DataError: There are none, or one cannot be read or is no label map.
    """
    if not folder.is_dir():
        raise DataError(f"{option}: got {folder}, expected a folder of images")
    storage = open_storage(folder)
    suffixes = IMAGE_SUFFIXES if classes is None else LOSSLESS_SUFFIXES
    names = [name for name in storage.names() if name.lower().endswith(suffixes)][:most]
    if not names:
        raise DataError(f"{option}: {folder} holds no images, expected some of {', '.join(suffixes)}")
    samples = []
    for name in names:
        file = File(storage, name)
        if classes is None:
            image = _cut(decode_rgb(file, Decoding()).image, size, Image.Resampling.BICUBIC)
        else:
            image = _cut(decode_label(file, classes, Decoding()).image, size, Image.Resampling.NEAREST)
        samples.append(Sample(Path(name).stem, image))
    return samples


def _labels(form: FileForm) -> int:
    """Return the number of labels to draw label maps with: all but "don't care"."""
    return int(form.facts.get("dont_care", form.facts["labels"]))


def _cut(image: Image.Image, size: Size, filter: Image.Resampling) -> Image.Image:
    """Resize an image so that it just covers the size, and crop its centre."""
    height, width = size
    scale = max(height / image.height, width / image.width)
    left, top = (image.width - width / scale) / 2, (image.height - height / scale) / 2
    return image.resize((width, height), filter, (left, top, left + width / scale, top + height / scale))
