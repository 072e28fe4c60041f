"""Measure what a large checkpoint costs to inspect or export: processor time, and memory beyond that of the imports.

python scripts/measure_reading.py spade --set ngf=64
python scripts/measure_reading.py spade --set ngf=64 --export
"""

from __future__ import annotations

import argparse
import resource
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from typer.testing import CliRunner

from gancompress.cli import app, exporting, networks, tables  # noqa: F401  # imports are no part of the cost
from gancompress.cli.parsing import parse_options
from gancompress.networks.registry import build


def peak_bytes() -> int:
    """Return the most memory that this process has held."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main() -> None:
    """Write a checkpoint of a family in a process of its own, inspect or export it, and print the cost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("family")
    parser.add_argument("--set", action="append", default=[], metavar="OPTION=VALUE")
    parser.add_argument("--file", type=Path, help="a checkpoint that exists, of any family")
    parser.add_argument("--export", action="store_true", help="write an ONNX file of it and compare that, too")
    arguments = parser.parse_args()
    with TemporaryDirectory() as folder:
        path = arguments.file or Path(folder) / "net.pt"
        if arguments.file is None:
            import multiprocessing

            writer = multiprocessing.get_context("spawn").Process(
                target=_write, args=(path, arguments.family, arguments.set)
            )
            writer.start()
            writer.join()
        before, began = peak_bytes(), time.process_time()
        out = ["--out", str(Path(folder) / "net.onnx")] if arguments.export else []
        result = CliRunner().invoke(app, ["export" if out else "inspect", str(path), *out, "--json"])
        if result.exception is not None:
            raise result.exception
        seconds, size = time.process_time() - began, path.stat().st_size
        memory = peak_bytes() - before
    cost = f"{seconds:.1f} s of processor time, {memory / 1e6:.0f} MB, {memory / size:.2f} times it"
    print(f"file {size / 1e6:.0f} MB: {cost}")


def _write(path: Path, family: str, options: list[str]) -> None:
    torch.save(build(family, parse_options(options)).state_dict(), path)


if __name__ == "__main__":
    main()
