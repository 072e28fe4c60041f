"""Arguments and options that several verbs share, and the consoles for their output."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

_IS_MAIN_PROCESS = os.environ.get("RANK", "0") == "0"  # torchrun and accelerate launch number their processes

console = Console(quiet=not _IS_MAIN_PROCESS)
"""Standard output."""
notices = Console(stderr=True, quiet=not _IS_MAIN_PROCESS)
"""Standard error, for everything but the result."""

Source = Annotated[
    str,
    typer.Argument(
        help="A directory written by gancompress, a checkpoint (FILE#KEY for one network of several in it), a family's "
        "name, or package.module:Class."
    ),
]
SetOption = Annotated[
    list[str],
    typer.Option(
        "--set",
        metavar="OPTION=VALUE",
        help="An option of the family, such as ngf=32, or an argument of the class; repeatable.",
    ),
]
FamilyOption = Annotated[
    str | None, typer.Option("--family", help="Family of the checkpoint, if its tensors do not identify it.")
]
RangeOption = Annotated[
    str | None,
    typer.Option(
        "--range",
        metavar="LOW..HIGH",
        help="Values of the network's images, such as 0..1, or '0..255 to 0..1' where input and output differ; "
        "by default -1..1, or those of the family.",
    ),
]
SizeOption = Annotated[
    str, typer.Option("--size", metavar="HxW", help="Size of the images, height x width, in pixels.")
]
RunSizeOption = Annotated[
    str | None,
    typer.Option(
        "--size",
        metavar="HxW",
        help="Size of the images, height x width, in pixels; by default the run's, or 256x256.",
    ),
]
InputOption = Annotated[
    list[str],
    typer.Option(
        "--input",
        metavar="NxCx...",
        help="Shape of an input that is no image of --size, such as 1x80x64; repeatable.",
    ),
]
TrustOption = Annotated[
    bool,
    typer.Option(
        "--trust-code",
        help="Run code that files name: classes and functions outside of gancompress, TorchScript, torch.export.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]

Recipe = Annotated[str, typer.Argument(help="A recipe's name, or the path of a YAML file.")]
RunDirectory = Annotated[
    Path | None, typer.Option("--out", metavar="DIR", help="The run directory; runs/NAME by default.")
]
RecipeOption = Annotated[
    list[str],
    typer.Option("--set", metavar="A.B=VALUE", help="An option of the recipe, such as seed=1; repeatable."),
]
ThreadsOption = Annotated[
    int | None,
    typer.Option(
        min=1, help="Threads of PyTorch in training and search; take fewer than cores if other programs are at work."
    ),
]
ProcessesOption = Annotated[
    int | None,
    typer.Option(
        "--processes",
        min=1,
        metavar="N",
        help="Divide every batch among so many processes of this machine, one for each GPU where there are some.",
    ),
]
TensorBoardOption = Annotated[
    bool, typer.Option("--tensorboard", help="Write losses and samples to tensorboard/ in the run directory, too.")
]
TrainTeacherOption = Annotated[
    bool, typer.Option("--train-teacher", help="Train the teacher by the recipe, even if one is shipped for it.")
]

LabelsOption = Annotated[
    int | None,
    typer.Option(
        "--labels",
        min=1,
        help="Take integer label maps of so many labels, 'don't care' included, instead of their channels; a "
        "network of one channel more takes instance edges, too.",
    ),
]
SamplesOption = Annotated[
    Path | None,
    typer.Option("--samples", metavar="FOLDER", help="Web: inputs to begin with, which become part of the page."),
]
StartOption = Annotated[
    Literal["sketch", "photo"] | None,
    typer.Option("--start", help="Web: first image of the page; by default a sketch for paired tasks, else a photo."),
]
RuntimeOption = Annotated[
    Path | None,
    typer.Option("--runtime", metavar="FOLDER", help="Web: files of onnxruntime-web; by default npm gets them once."),
]


def threads_option(threads: int | None) -> list[str]:
    """Return the option of a recipe that a number of threads sets."""
    return [] if threads is None else [f"threads={threads}"]
