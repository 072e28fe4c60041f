"""Sample grids: labelled columns of images, one sample per row."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from gancompress.data.palette import distinct_colour
from gancompress.errors import DataError
from gancompress.io import write_atomically

LEGIBLE_PX = 160
"""Images whose shorter side is below this are enlarged by an integer factor, nearest neighbour."""

GUTTER_PX = 6
_LABEL_COLOUR = (128, 128, 128, 255)  # readable on white and on black: the grid's background is transparent


def sample_grid(columns: Mapping[str, Tensor], path: Path, rows: Sequence[str] = ()) -> None:
    """Write images side by side as a PNG: a labelled column for each entry, and a row for each sample.

    Args:
        columns: Columns by label, n images each. Float ``(n, 3, h, w)`` is RGB in [-1, 1] and ``(n, 1, h, w)`` grey in
            [-1, 1]; integer ``(n, h, w)`` or ``(n, 1, h, w)`` is a label map, and float with any other number of
            channels one score per class, as of a one-hot map. Columns may differ in size, not in aspect ratio.
        path: The file, written atomically.
        rows: Labels of the samples, at the left; none by default.

    Raises:
        DataError: There is no image, columns differ in their number of images or in aspect ratio, or there are labels
            for another number of rows.
    """
    pictures = {label: [_picture(image) for image in images] for label, images in columns.items()}
    num_rows = _check(pictures, rows)
    width, height = _cell_size(pictures)
    font = ImageFont.load_default(size=max(15, width // 11))
    header = font.getbbox("Ag")[3] + 2 * GUTTER_PX
    left = math.ceil(max(map(font.getlength, rows), default=-2 * GUTTER_PX)) + 2 * GUTTER_PX
    size = (
        left + len(pictures) * (width + GUTTER_PX) - GUTTER_PX,
        int(header) + num_rows * (height + GUTTER_PX) - GUTTER_PX,
    )
    grid = Image.new("RGBA", size)
    draw = ImageDraw.Draw(grid)
    for row, label in enumerate(rows):
        y = int(header) + row * (height + GUTTER_PX) + height // 2
        draw.text((GUTTER_PX, y), label, _LABEL_COLOUR, font, anchor="lm")
    for column, (label, images) in enumerate(pictures.items()):
        x = left + column * (width + GUTTER_PX)
        draw.text((x, GUTTER_PX), _fitted(label, font, width), _LABEL_COLOUR, font)
        for row, image in enumerate(images):
            enlarged = image.resize((width, height), Image.Resampling.NEAREST)
            grid.paste(enlarged, (x, int(header) + row * (height + GUTTER_PX)))
    buffer = io.BytesIO()
    grid.save(buffer, format="PNG")
    write_atomically(path, buffer.getvalue())


def _picture(image: Tensor) -> Image.Image:
    """Return one sample, ``(c, h, w)`` or ``(h, w)``, as an RGB image of its own size."""
    image = image.detach().cpu()
    if not image.is_floating_point():
        return _label_picture(image.reshape(image.shape[-2:]))
    if image.shape[0] not in (1, 3):
        return _label_picture(image.argmax(0))
    levels = image.float().nan_to_num(nan=-1.0).clamp(-1, 1).add(1).mul(127.5).round().to(torch.uint8)
    return Image.fromarray(levels.expand(3, -1, -1).permute(1, 2, 0).contiguous().numpy())


def _label_picture(labels: Tensor) -> Image.Image:
    palette = torch.tensor([distinct_colour(index) for index in range(256)], dtype=torch.uint8)
    return Image.fromarray(palette[labels.long() % 256].numpy())


def _check(pictures: dict[str, list[Image.Image]], rows: Sequence[str]) -> int:
    counts = {label: len(images) for label, images in pictures.items()}
    if not any(counts.values()) or len(set(counts.values())) > 1:
        raise DataError(
            f"sample grid: got {counts or 'no columns'}, expected as many images in each column, at least one"
        )
    sizes = {label: images[0].size for label, images in pictures.items()}
    if len({width / height for width, height in sizes.values()}) > 1:
        raise DataError(f"sample grid: got widths and heights {sizes}, expected one aspect ratio; crop them alike")
    num_rows = next(iter(counts.values()))
    if rows and len(rows) != num_rows:
        raise DataError(f"sample grid: got {len(rows)} labels for {num_rows} rows, expected one for each, or none")
    return num_rows


def _cell_size(pictures: dict[str, list[Image.Image]]) -> tuple[int, int]:
    width, height = max(images[0].size for images in pictures.values())
    factor = math.ceil(LEGIBLE_PX / min(width, height))
    return factor * width, factor * height


def _fitted(label: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    """Return the label on one line, truncated to the width of its column."""
    label = " ".join(label.split())
    while font.getlength(label) > width:
        label = label.rstrip("…")[:-1] + "…"
    return label
