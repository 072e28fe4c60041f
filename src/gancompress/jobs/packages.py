"""Optional packages that a job needs, checked before its first image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from gancompress.deploy import find_format, find_mode, missing_package
from gancompress.errors import ConfigError, ExportError
from gancompress.jobs.export_options import ExportOptions
from gancompress.jobs.recipe import Job, named_in
from gancompress.perception.network_file import check_runtime


def check_exports(exports: Sequence[ExportOptions], say: Callable[[str], None]) -> None:
    """Report the files that are skipped because a package is missing, and check opsets of the others.

    Raises:
        ExportError: A file that must not be skipped lacks its package, or no file of its opset can be written or run.
    """
    for number, each in enumerate(exports):
        if (missing := missing_package(each.format)) is None:
            if each.opset is not None:
                _check_opset(f"exports.{number}", each.format, each.opset)
            continue
        if not each.if_installed:
            raise ExportError(f"exports.{number}: {each.format} {missing}")
        say(f"exports.{number}: skipped, because {each.format} {missing}")


def _check_opset(where: str, format: str, opset: int) -> None:
    try:
        find_format(format)[0].check_opset(opset)
    except ExportError as error:
        raise ExportError(f"{where}: {error}") from None


def check_packages(job: Job, say: Callable[[str], None]) -> None:
    """Check the packages of files, of the budget's runtime, and of networks in ONNX files, and what steps need.

    Raises:
        ExportError: A file that must not be skipped, or the runtime of a budget in milliseconds, lacks a package.
        ConfigError: A network of the job is an ONNX file, and its runtime is missing; or the database of a search
            cannot be opened.
    """
    check_exports(job.exports, say)
    if job.budget is not None and job.budget.runtime is not None:
        runtime, mode = find_mode(job.budget.runtime)
        if (missing := runtime.missing_package(to_write=mode.format is not None)) is not None:
            raise ExportError(f"budget.runtime: {mode.name} {missing}")
    for path in sorted(map(Path, named_in(job))):
        check_runtime(path)
    for number, step in enumerate(job.steps):
        try:
            step.check()
        except ConfigError as error:
            raise ConfigError(f"steps.{number}: {error}") from None
