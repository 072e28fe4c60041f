"""Verb that compresses: from a recipe, or from a checkpoint and a folder, for which it writes the recipe."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gancompress.cli.options import (
    ProcessesOption,
    RunDirectory,
    TensorBoardOption,
    ThreadsOption,
    TrainTeacherOption,
    TrustOption,
    console,
    threads_option,
)
from gancompress.cli.processes import made_once
from gancompress.cli.running import run_job, show_stages

if TYPE_CHECKING:
    from gancompress.jobs.drafting import Drafted, Request

_RECIPE_SUFFIXES = (".yaml", ".yml")
_CHECKPOINT = "Of a checkpoint"


def compress(
    source: Annotated[
        str,
        typer.Argument(
            metavar="CHECKPOINT|RECIPE",
            help="A file or directory of weights (FILE#KEY for one network of several in it); or a recipe: a name that "
            "gancompress recipes lists, or a .yaml file.",
        ),
    ],
    images: Annotated[
        str | None,
        typer.Option(
            "--images",
            metavar="FOLDER",
            help="Images like those that the network will get.",
            rich_help_panel=_CHECKPOINT,
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            "--data",
            metavar="MODULE:DATASET",
            help="Other inputs, instead of --images: a data set or a function that makes one, a folder of arrays, or "
            "data of a recipe in YAML.",
            rich_help_panel=_CHECKPOINT,
        ),
    ] = None,
    smaller: Annotated[
        float | None,
        typer.Option(
            "--smaller", metavar="N", help="How many times fewer MACs the result has.", rich_help_panel=_CHECKPOINT
        ),
    ] = None,
    ms: Annotated[
        float | None,
        typer.Option(
            "--ms",
            metavar="X",
            help="The most milliseconds for one image, on --runtime, instead of --smaller.",
            rich_help_panel=_CHECKPOINT,
        ),
    ] = None,
    runtime: Annotated[
        str | None,
        typer.Option(
            "--runtime",
            metavar="NAME",
            help="Runtime of --ms: eager, onnxruntime, openvino, ...",
            rich_help_panel=_CHECKPOINT,
        ),
    ] = None,
    num_bytes: Annotated[
        float | None,
        typer.Option(
            "--bytes",
            metavar="N",
            help="The most bytes of weights, instead of --smaller.",
            rich_help_panel=_CHECKPOINT,
        ),
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(
            "--minutes",
            metavar="M",
            help="Minutes of training, 30 by default; measuring and files come on top.",
            rich_help_panel=_CHECKPOINT,
        ),
    ] = None,
    network: Annotated[
        str | None,
        typer.Option(
            "--net",
            metavar="MODULE:CLASS",
            help="Class or family, if the tensors do not identify it; the current directory is importable.",
            rich_help_panel=_CHECKPOINT,
        ),
    ] = None,
    like: Annotated[
        str | None,
        typer.Option(
            "--like",
            metavar="FAMILY",
            help="Another architecture for the student, such as srvggnet_compact for upscalers; random weights.",
            rich_help_panel=_CHECKPOINT,
        ),
    ] = None,
    image_range: Annotated[
        str | None,
        typer.Option(
            "--range",
            metavar="LOW..HIGH",
            help="Values of the network's images, such as 0..1; measured by default for --net.",
            rich_help_panel=_CHECKPOINT,
        ),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(
            "--size",
            metavar="HxW",
            help="Size of the crops for training, measuring and timing; chosen by default.",
            rich_help_panel=_CHECKPOINT,
        ),
    ] = None,
    metric: Annotated[
        list[str],
        typer.Option(
            "--metric",
            metavar="NAME",
            help="A metric against the original, or module:function; repeatable. psnr and ssim by default.",
            rich_help_panel=_CHECKPOINT,
        ),
    ] = [],  # noqa: B006
    perceptual: Annotated[
        str | None,
        typer.Option(
            "--perceptual",
            metavar="FILE",
            help="A network as TorchScript or ONNX: also report the perceptual distance under it. "
            "Without a file, --metric lpips_squeeze downloads one.",
            rich_help_panel=_CHECKPOINT,
        ),
    ] = None,
    min_psnr: Annotated[
        float | None,
        typer.Option(
            "--min-psnr",
            metavar="DB",
            help="Smallest PSNR of the fastest file to the network; 30 by default.",
            rich_help_panel=_CHECKPOINT,
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", metavar="N", help="Seed, 0 by default.", rich_help_panel=_CHECKPOINT)
    ] = None,
    options: Annotated[
        list[str],
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="An argument of the class of --net; or of a recipe an option by its path, such as seed=1; repeatable.",
        ),
    ] = [],  # noqa: B006
    out: RunDirectory = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Check everything that a run needs, print what it would do, and write nothing."),
    ] = False,
    tensorboard: TensorBoardOption = False,
    train_teacher: TrainTeacherOption = False,
    threads: ThreadsOption = None,
    processes: ProcessesOption = None,
    trust: TrustOption = False,
) -> None:
    """Compress a checkpoint, or run a recipe: cut the network, train it, measure it, write files and a report.

    From a checkpoint and a folder of inputs it chooses the method, and writes the recipe into the run directory. A
    recipe says itself which steps to run. The same command resumes. Exit status 1 if a file could not be written.
    """
    from gancompress.jobs.recipe import load_job

    given = {
        "--images": images,
        "--data": data,
        "--smaller": smaller,
        "--ms": ms,
        "--runtime": runtime,
        "--bytes": num_bytes,
        "--minutes": minutes,
        "--net": network,
        "--like": like,
        "--range": image_range,
        "--size": size,
        "--metric": tuple(metric) or None,
        "--perceptual": perceptual,
        "--min-psnr": min_psnr,
        "--seed": seed,
    }
    if not is_checkpoint(source, given):
        job = load_job(source, [*options, *threads_option(threads)], train_teacher=train_teacher)
        directory = out or Path("runs", job.name)
        if dry_run:
            import yaml

            console.print(yaml.safe_dump(job.model_dump(mode="json"), sort_keys=False), highlight=False, markup=False)
            show_stages(job, directory)
            return
        run_job(job, directory, tensorboard=tensorboard, trust=trust, processes=processes)
        return
    request = _request(source, given, options, out, train_teacher)
    if dry_run:
        drafted = made_once(partial(_draft, request, trust, threads))
        console.print(f"\n{drafted.text}", highlight=False, markup=False, soft_wrap=True)
        show_stages(drafted.job(), request.directory)
        return
    recipe = made_once(partial(_recipe_of, request, trust, threads))
    job = load_job(str(recipe), threads_option(threads))
    run_job(job, request.directory, tensorboard=tensorboard, trust=trust, processes=processes)


def is_checkpoint(source: str, given: Mapping[str, Any]) -> bool:
    """Return True for a checkpoint, and False for a recipe: a ``.yaml`` file, or a shipped recipe's name.

    Args:
        source: The argument.
        given: Options that only a checkpoint takes, by name; None if one is not given.

    Raises:
        ConfigError: It is both, neither, a run directory, or a recipe with options of a checkpoint.
    """
    from gancompress.errors import ConfigError, nearest
    from gancompress.io.source import split_key
    from gancompress.jobs.recipe_text import recipe_names

    path = split_key(source)[0]
    option = next((name for name, value in given.items() if value is not None), None)
    is_recipe = source in recipe_names()
    if is_recipe and path.exists():
        kind = "directory" if path.is_dir() else "file"
        raise ConfigError(
            f"compress: got '{source}', the name of a recipe and of a {kind} here, expected one of them; write "
            f"./{source} for the {kind}, or run from another directory"
        )
    if is_recipe or path.suffix in _RECIPE_SUFFIXES:
        if option is not None:
            raise ConfigError(
                f"{option}: got it with the recipe '{source}', expected a checkpoint; a recipe takes --set, such as "
                "--set budget.reduction=10"
            )
        return False
    if (path / "job.yaml").is_file():
        raise ConfigError(
            f"{source}: got a run directory, expected a checkpoint or a recipe; give {path / 'job.yaml'} to go on, or "
            "a copy of its model.safetensors and config.json in a directory of its own to compress its network"
        )
    if not path.exists() and option is None:
        raise ConfigError(
            f"compress: got '{source}', expected a checkpoint, a .yaml file or a recipe's name; "
            f"{nearest(source, recipe_names())}"
        )
    return True


def _request(
    source: str, given: Mapping[str, Any], options: list[str], out: Path | None, train_teacher: bool
) -> Request:
    """Return the request of a command line. Raises ConfigError if something is missing or does not fit."""
    from gancompress.cli.parsing import parse_options, parse_sizes
    from gancompress.errors import ConfigError
    from gancompress.jobs.drafting import Request

    if train_teacher:
        raise ConfigError("--train-teacher: got it with a checkpoint, expected a recipe: there is nothing to train")
    size = None if given["--size"] is None else parse_sizes("--size", given["--size"], 2)
    optional = {"minutes": given["--minutes"], "seed": given["--seed"]}
    return Request(
        checkpoint=source,
        images=given["--images"],
        data=given["--data"],
        smaller=given["--smaller"],
        latency_ms=given["--ms"],
        runtime=given["--runtime"],
        num_bytes=given["--bytes"],
        network=given["--net"],
        config=parse_options(options),
        like=given["--like"],
        image_range=given["--range"],
        size=None if size is None else (size[0], size[1]),
        metrics=given["--metric"] or (),
        perceptual=given["--perceptual"],
        min_psnr_db=given["--min-psnr"],
        out=out,
        **{name: value for name, value in optional.items() if value is not None},
    )


def _recipe_of(request: Request, trust: bool, threads: int | None) -> Path:
    """Return the recipe of a request: the one that it left before, or a new one."""
    from gancompress.jobs.drafting.recipe_file import written_recipe

    path = written_recipe(request)
    if path is not None:
        console.print(f"recipe: {path}, as the same command left it", soft_wrap=True, markup=False, highlight=False)
        return path
    path = _draft(request, trust, threads).write()
    console.print(f"recipe: {path}", soft_wrap=True, markup=False, highlight=False)
    return path


def _draft(request: Request, trust: bool, threads: int | None) -> Drafted:
    """Draft a recipe; its trials compute with as many threads as the run will."""
    from gancompress.jobs.drafting import draft_recipe
    from gancompress.jobs.threads import computing_with

    def say(line: str) -> None:
        console.print(line, markup=False, highlight=False, soft_wrap=True)

    with computing_with(threads):
        return draft_recipe(request, say, trust=trust)
