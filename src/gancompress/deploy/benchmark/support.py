"""Tables of all formats and runtimes, read from the registry."""

from __future__ import annotations

from gancompress.deploy import RUNTIMES, Format, Mode, Runtime
from gancompress.deploy.benchmark.fastest import FASTEST, timed_formats

FORMAT_HEAD = ("format", "file", "runs on", "precisions", "sizes", "extra")
RUNTIME_HEAD = ("runtime", "runs of a network", "runs of exported files", "timed", "latency budgets")


def format_rows() -> list[tuple[str, ...]]:
    """Return a row of `FORMAT_HEAD` for each format."""
    return [_format(runtime, each) for runtime in RUNTIMES.values() for each in runtime.formats]


def runtime_rows() -> list[tuple[str, ...]]:
    """Return a row of `RUNTIME_HEAD` for each mode."""
    return [_mode(each) for runtime in RUNTIMES.values() for each in runtime.modes]


def unavailable_here() -> dict[str, str]:
    """Return the reason for each mode that cannot run on this machine, by its name."""
    reasons = {mode.name: runtime.unavailable(mode) for runtime in RUNTIMES.values() for mode in runtime.modes}
    return {name: reason for name, reason in reasons.items() if reason is not None}


def _format(runtime: Runtime, each: Format) -> tuple[str, ...]:
    name = each.file_name
    if each.beside:
        name += f" with {name.removesuffix(each.ending)}{each.beside}"
    if each.folder or each.page:
        name += ", a folder" if each.folder else ", a folder with a page"
    fastest = [FASTEST] if each.name in timed_formats() else []
    sizes = "any" if each.free_sizes else "the example's"
    return (
        each.name,
        name,
        runtime.runs_on or runtime.title,
        ", ".join((*each.precisions, *fastest)),
        sizes,
        runtime.extra or "none",
    )


def _mode(each: Mode) -> tuple[str, ...]:
    return (
        each.name,
        f"its {each.format} file" if each.format else "the network itself",
        ", ".join(each.endings) or "none",
        "when named" if each.on_request else "by default",
        "no" if each.layer_format is None else "yes",
    )
