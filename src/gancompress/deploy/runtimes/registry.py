"""Registry of runtimes: those of this package, of installed packages, and of import paths.

A package adds a runtime by an entry point of the group ``gancompress.runtimes`` that names a subclass of `Runtime`; a
program by `register_runtime`; a recipe or command line by an import path, ``my_package.my_runtime:MyRuntime``,
instead of the name of a format or of a runtime.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, Literal, TypeVar

from gancompress.deploy.files import disk_bytes
from gancompress.deploy.parity import PrecisionName
from gancompress.deploy.runtimes.runner import Runner
from gancompress.deploy.runtimes.runtime import Format, Mode, Runtime
from gancompress.errors import ConfigError, nearest

GROUP = "gancompress.runtimes"
"""Name of the group of entry points."""

_BUILT_IN = ("torch_runtime", "onnx_runtime", "openvino_runtime", "coreml_runtime", "litert_runtime", "browser_runtime")
_registered: dict[str, Runtime] = {}

AnyRuntime = TypeVar("AnyRuntime", bound=Runtime)
Member = TypeVar("Member", Format, Mode)


def register_runtime(kind: type[AnyRuntime]) -> type[AnyRuntime]:
    """Register a runtime, as a decorator of its class. The same class may be registered twice.

    Raises:
        ConfigError: It has no name or title; its name, a format, a mode or an ending is taken; or a format with int8
            has no `IntegerForm`.
    """
    if not kind.__module__.startswith(f"{__package__}."):
        _load_built_in()
    runtime = kind()
    where = f"runtime {_path_of(kind)}"
    if not getattr(kind, "name", None) or not getattr(kind, "title", None):
        raise ConfigError(f"{where}: got no name or title, expected both as attributes of the class")
    for each in runtime.formats:
        if "int8" in each.precisions and each.integers is None:
            raise ConfigError(
                f"{where}: got int8 in the format '{each.name}' without integers, expected an IntegerForm"
            )
    for other in _registered.values():
        if _path_of(type(other)) == _path_of(kind):
            continue
        for what, names in _names(runtime).items():
            taken = next((name for name in names if name in _names(other)[what]), None)
            if taken is not None:
                raise ConfigError(
                    f"{where}: got the {what} '{taken}', expected another one: {_path_of(type(other))} has it"
                )
    _registered[runtime.name] = runtime
    return kind


def known_runtimes() -> Mapping[str, Runtime]:
    """Return every runtime by name.

    Raises:
        ConfigError: An entry point cannot be loaded.
    """
    _load_built_in()
    _load_entry_points()
    return _registered


def known_formats() -> dict[str, Format]:
    """Return every format of files by name, without web pages."""
    kinds = [each for runtime in known_runtimes().values() for each in runtime.formats]
    return {each.name: each for each in kinds if not each.page}


def known_modes() -> dict[str, Mode]:
    """Return every mode by name."""
    return {each.name: each for runtime in known_runtimes().values() for each in runtime.modes}


def find_format(name: str, where: str = "format") -> tuple[Runtime, Format]:
    """Return a format and its runtime.

    Args:
        name: A name in `known_formats`, or the import path of a `Runtime`, whose first format is taken.
        where: Beginning of messages.

    Raises:
        ConfigError: There is none.
    """
    return _find(name, where, lambda runtime: runtime.formats, f"the format '{name}'", "has a format")


def find_mode(name: str, where: str = "runtime") -> tuple[Runtime, Mode]:
    """Return a mode and its runtime.

    Args:
        name: A name in `known_modes`, or the import path of a `Runtime`, whose first mode is taken.
        where: Beginning of messages.

    Raises:
        ConfigError: There is none.
    """
    return _find(name, where, lambda runtime: runtime.modes, f"'{name}'", "runs files or networks")


def _find(
    name: str, where: str, members: Callable[[Runtime], Sequence[Member]], shown: str, expected: str
) -> tuple[Runtime, Member]:
    """Return a runtime and its member of this name; the first member of a runtime named by its import path."""
    if ":" in name:
        runtime = _imported(name, where)
        if not members(runtime):
            raise ConfigError(f"{where}: got {name}, expected a runtime that {expected}")
        return runtime, members(runtime)[0]
    known = {each.name: (runtime, each) for runtime in known_runtimes().values() for each in members(runtime)}
    if name not in known:
        raise ConfigError(f"{where}: got {shown}, expected a known one; {nearest(name, known)}")
    return known[name]


def runtime_of(path: Path) -> Runtime | None:
    """Return the runtime that opens a file by its ending; None if no runtime does."""
    return next((each for each in known_runtimes().values() if path.suffix in each.endings), None)


def open_file(path: Path, threads: int | None = None, precision: PrecisionName | None = None) -> Runner:
    """Open an exported file with the runtime of its ending.

    Args:
        path: The file.
        threads: Number of threads; the runtime's own choice by default.
        precision: Precision of float layers; by default the one that the file was exported for.

    Raises:
        ConfigError: No runtime has this ending, or its runtime does not compute in this precision.
        ExportError: The runtime is missing, or refuses the file.
    """
    runtime = runtime_of(path)
    if runtime is None:
        endings = ", ".join(ending for each in known_runtimes().values() for ending in each.endings)
        raise ConfigError(f"{path}: got '{path.suffix}', expected the ending of an exported file: {endings}")
    check_precision(path, runtime, precision)
    return runtime.open(path, threads, precision)


def check_precision(path: Path, runtime: Runtime | None, precision: PrecisionName | None) -> None:
    """Check that a runtime, or eager if it is None, computes in a precision.

    Raises:
        ConfigError: It does not.
    """
    if precision in (None, "fp32") or (runtime and precision in {mode.precision for mode in runtime.modes}):
        return
    able = [each for each in known_runtimes().values() if precision in {mode.precision for mode in each.modes}]
    names = " and ".join(f"{each.title}'s {' and '.join(each.endings)} files" for each in able) or "no runtime"
    raise ConfigError(f"{path}: got precision '{precision}', which is for {names}; leave it out")


def missing_package(format: str) -> str | None:
    """Return the end of a message that names a package that a format lacks; None if none is missing."""
    return find_format(format)[0].missing_package(to_write=True)


def file_name(format: str, precision: PrecisionName | Literal["fastest"] | None = None) -> str:
    """Return the default name of a file: ``model.onnx``, ``model.int8.onnx``, ``model.fastest.onnx``."""
    name = Path(find_format(format)[1].file_name)
    return str(name if precision in (None, "fp32") else name.with_suffix(f".{precision}{name.suffix}"))


def size_on_disk(path: Path) -> int:
    """Return the bytes of a file with the weights beside it, or of all files in a folder."""
    beside = next(
        (each.beside for each in known_formats().values() if each.ending == path.suffix and each.beside), None
    )
    return disk_bytes(path, beside)


def import_path(runtime: Runtime) -> str:
    """Return the import path of a runtime, by which another process finds it.

    Raises:
        ConfigError: Its class is not in a module that can be imported.
    """
    path = _path_of(type(runtime))
    if path.startswith("__main__:") or "<locals>" in path:
        raise ConfigError(
            f"runtime '{runtime.name}': got {path}, which no other process can import; define the class at the top of "
            "a module"
        )
    return path


@cache
def _load_built_in() -> None:
    for module in _BUILT_IN:
        importlib.import_module(f"gancompress.deploy.runtimes.{module}")


@cache
def _load_entry_points() -> None:
    for entry in entry_points(group=GROUP):
        _registered_runtime(_loaded(entry), f"entry point '{entry.name}' of {GROUP}")


def _loaded(entry: EntryPoint) -> Any:
    try:
        return entry.load()
    except Exception as error:
        raise ConfigError(
            f"entry point '{entry.name}' of {GROUP}: importing {entry.value} failed: {error}; repair or uninstall the "
            "package that declares it"
        ) from error


def _imported(path: str, where: str) -> Runtime:
    module_name, _, name = path.partition(":")
    try:
        found: Any = importlib.import_module(module_name)
    except Exception as error:
        raise ConfigError(f"{where}: importing {path} failed: {type(error).__name__}: {error}") from error
    for part in name.split("."):
        if not hasattr(found, part):
            public = [known for known in vars(found) if not known.startswith("_")]
            raise ConfigError(f"{where}: {module_name} has no '{name}'; {nearest(name, public)}")
        found = getattr(found, part)
    return _registered_runtime(found, f"{where}: {path}")


def _registered_runtime(found: Any, where: str) -> Runtime:
    if not (isinstance(found, type) and issubclass(found, Runtime)):
        kind = found.__name__ if isinstance(found, type) else type(found).__name__
        raise ConfigError(f"{where}: got {kind}, expected a subclass of gancompress.deploy.Runtime")
    register_runtime(found)
    return _registered[found.name]


def _names(runtime: Runtime) -> dict[str, tuple[str, ...]]:
    return {
        "name": (runtime.name,),
        "format": tuple(each.name for each in runtime.formats),
        "mode": tuple(each.name for each in runtime.modes),
        "ending": runtime.endings,
    }


def _path_of(kind: type) -> str:
    return f"{kind.__module__}:{kind.__qualname__}"
