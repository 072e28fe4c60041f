"""Verb ``run``: run a network on pictures and videos, and write the images."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gancompress.cli.options import TrustOption, console

if TYPE_CHECKING:
    from PIL import Image

    from gancompress.deploy import Loaded
    from gancompress.deploy.tiles import Tiles

_DIGITS = 6


def run(
    network: Annotated[str, typer.Argument(help="A run directory, a directory or checkpoint of weights, or a file.")],
    inputs: Annotated[list[Path], typer.Argument(metavar="INPUT...", help="Pictures, folders of pictures, or videos.")],
    out: Annotated[Path, typer.Option("--out", metavar="FOLDER", help="Folder for the images, written as PNG.")],
    tiles: Annotated[
        str,
        typer.Option(
            metavar="PX|auto|none",
            help="Side of the tiles of large images, in pixels of the input; auto chooses it, none runs images whole.",
        ),
    ] = "auto",
    overlap: Annotated[
        int | None,
        typer.Option(
            min=0, metavar="PX", help="Overlap of tiles to each side; by default as far as the network looks, exactly."
        ),
    ] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads of the file's runtime.")] = None,
    precision: Annotated[
        str | None, typer.Option(help="Precision of float layers, such as bf16 on OpenVINO; by default the export's.")
    ] = None,
    trust: TrustOption = False,
) -> None:
    """Run a network on pictures, large ones by tiles, or on the frames of videos."""
    from gancompress.deploy import load

    side = _parse_tiles(tiles)
    targets = _targets(inputs, out)
    loaded = load(network, threads=threads, precision=precision, trust=trust)
    _check_outputs(network, loaded)
    for source, target in targets.items():
        written = _write(loaded, source, target, side, overlap)
        console.print(f"{target}  {written}", highlight=False, markup=False, soft_wrap=True)


def _parse_tiles(text: str) -> Tiles:
    from gancompress.errors import ConfigError

    if text in ("auto", "none"):
        return "auto" if text == "auto" else None
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise ConfigError(f"--tiles: got '{text}', expected a side in pixels, auto or none")
    return int(text)


def _targets(inputs: list[Path], out: Path) -> dict[Path, Path]:
    """Return the file of each picture, and the folder of each video's frames.

    Raises:
        ConfigError: Two inputs would have one name, or a file would replace its input.
        DataError: There is no such input, or a folder holds no pictures.
    """
    from gancompress.deploy.frames import is_picture, read_frames
    from gancompress.errors import ConfigError, DataError

    targets: dict[Path, Path] = {}
    sources: dict[Path, Path] = {}
    for given in inputs:
        if not given.exists():
            raise DataError(f"{given}: no such file or folder, expected a picture, a folder of pictures, or a video")
        found = [Path(each) for each in read_frames(given)] if given.is_dir() else [given]
        if not found:
            raise DataError(f"{given}: got a folder without pictures, expected some")
        for source in found:
            target = out / (f"{source.stem}.png" if is_picture(source) else source.stem)
            if target in sources:
                raise ConfigError(
                    f"--out: got {sources[target]} and {source}, which would both be {target}; give them "
                    "other names, or run them into two folders"
                )
            if target.resolve() == source.resolve():
                raise ConfigError(f"--out: got {out}, where {target.name} is the input itself; name another folder")
            targets[source], sources[target] = target, source
    return targets


def _check_outputs(network: str, loaded: Loaded) -> None:
    from gancompress.errors import ConfigError

    outputs = loaded.contract.get("outputs", ())
    if len(outputs) > 1:
        raise ConfigError(
            f"{network}: got a network of the outputs {', '.join(outputs)}, expected one image; "
            "gancompress.load(...).outputs(image) returns all"
        )


def _write(loaded: Loaded, source: Path, target: Path, tiles: Tiles, overlap: int | None) -> str:
    """Write the image of a picture, or those of a video's frames, and return their size or number."""
    from gancompress.deploy.frames import is_picture

    if is_picture(source):
        image = loaded(source, tiles=tiles, overlap=overlap)
        _save(image, target)
        return f"{image.height}x{image.width}"
    number = 0
    for number, image in enumerate(loaded.frames(source, tiles=tiles, overlap=overlap), start=1):
        _save(image, target / f"{number:0{_DIGITS}}.png")
    return f"{number:,} frames"


def _save(image: Image.Image, path: Path) -> None:
    from gancompress.io import write_atomically

    path.parent.mkdir(parents=True, exist_ok=True)
    content = BytesIO()
    image.save(content, format="PNG")
    write_atomically(path, content.getvalue())
