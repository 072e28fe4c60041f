"""Verb ``demo``: show networks in a browser."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from gancompress.cli.options import (
    FamilyOption,
    LabelsOption,
    RangeOption,
    RunSizeOption,
    RuntimeOption,
    SamplesOption,
    SetOption,
    StartOption,
    TrustOption,
    console,
)


def demo(
    original: Annotated[
        str, typer.Argument(help="A run directory, a page that export has written, or a network as for bench.")
    ],
    compressed: Annotated[
        str | None, typer.Argument(help="Another network. Left out for a run directory: its teacher is the original.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Folder of the page; RUN/web by default.")
    ] = None,
    samples: SamplesOption = None,
    start: StartOption = None,
    labels: LabelsOption = None,
    size: RunSizeOption = None,
    runtime: RuntimeOption = None,
    options: SetOption = [],  # noqa: B006
    family: FamilyOption = None,
    image_range: RangeOption = None,
    trust: TrustOption = False,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port on 127.0.0.1; a free one by default.")] = 0,
    show: Annotated[bool, typer.Option("--open/--no-open", help="Open it in the browser of this machine.")] = False,
) -> None:
    """Show networks side by side on a page that runs them in the browser: sketch, photo, camera, labels, noise."""
    from gancompress.cli.pages import PageChoices, write_page_of
    from gancompress.deploy.web import PageServer, is_page

    folder = Path(original)
    if not is_page(folder):
        folder = out or (folder if folder.is_dir() else Path("runs")) / "web"
        choices = PageChoices(samples, start, labels, size, runtime, family, image_range, options, trust)
        write_page_of(original, compressed, folder, choices)
    server = PageServer(folder, port)
    console.print(f"{server.address}  shows {folder}; Ctrl-C ends it", highlight=False, soft_wrap=True)
    if show:
        webbrowser.open(server.address)
    server.serve()
