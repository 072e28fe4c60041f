"""Entry point of the command line: all verbs, and errors as one line."""

from __future__ import annotations

import errno
import gc
import os
import sys
from importlib.metadata import version
from typing import Annotated

import typer

from gancompress.cli.bench import bench
from gancompress.cli.compress import compress
from gancompress.cli.data import data
from gancompress.cli.demo import demo
from gancompress.cli.exporting import export
from gancompress.cli.jobs import evaluate, quickstart, search_worker, train
from gancompress.cli.latency import latency
from gancompress.cli.networks import inspect, prune
from gancompress.cli.processes import LAUNCHED, LOST_ANOTHER
from gancompress.cli.recipes import recipes
from gancompress.cli.run import run
from gancompress.cli.runtimes import runtimes
from gancompress.errors import GanCompressError, Interrupted, LostProcessError

app = typer.Typer(
    name="gancompress",
    help="Compress GAN generators: many times smaller and faster, the same look.\n\nBegin with quickstart, or with "
    "compress CHECKPOINT --images FOLDER --smaller 10.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for verb in (
    quickstart,
    compress,
    inspect,
    prune,
    export,
    run,
    demo,
    bench,
    evaluate,
    recipes,
    data,
    train,
    search_worker,
    latency,
    runtimes,
):
    # A terminal has a width of its own: a paragraph of a docstring becomes one line.
    app.command(help="\n\n".join(" ".join(each.split()) for each in (verb.__doc__ or "").split("\n\n")))(verb)


def _show_versions(asked: bool) -> None:
    if asked:
        print(f"gancompress {version('gancompress')}, torch {version('torch')}")
        raise typer.Exit


@app.callback()
def options_without_a_verb(
    versions: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, callback=_show_versions, help="Print the versions of gancompress and PyTorch."
        ),
    ] = False,
) -> None:
    """Take the options that need no verb."""


_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def main() -> None:
    """Run the command line; errors that the user can mend are printed in one line, with exit status 2.

    Modules in the current directory can be named by import path; installed ones of the same name come first.
    """
    sys.path.append(os.getcwd())
    try:
        app()
    except LostProcessError as error:
        sys.exit(LOST_ANOTHER if LAUNCHED in os.environ else _complain(str(error)))
    except Interrupted as error:
        sys.exit(_complain(str(error), 130))
    except GanCompressError as error:
        sys.exit(_complain(str(error)))
    except OSError as error:
        sys.exit(_complain(_in_words(error)))
    finally:
        _leave_process_group()


def _leave_process_group() -> None:
    """Destroy the process group of a distributed launch; a process that exits with one may abort."""
    distributed = sys.modules.get("torch.distributed")  # not imported by verbs that need no PyTorch
    if distributed is not None and distributed.is_available() and distributed.is_initialized():
        distributed.destroy_process_group()
        gc.collect()  # the group's threads end with the last network that holds it


def _complain(message: str, status: int = 2) -> int:
    print(f"gancompress: {message}", file=sys.stderr)
    return status


def _in_words(error: OSError) -> str:
    """Format an error of the operating system, with its path."""
    words = error.strerror or str(error) or type(error).__name__
    if error.errno in _NO_ROOM:
        words += "; make room there and run the same command: it goes on from what is saved"
    return words if error.filename is None else f"{error.filename}: {words}"
