"""Registry of runtimes: those of this package, of installed packages, and of import paths.

A package adds a runtime by an entry point of the group ``gancompress.runtimes`` that names a subclass of `Runtime`; a
program by `register_runtime`; a recipe or command line by an import path, ``my_package.my_runtime:MyRuntime``,
instead of the name of a format or of a runtime.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from gancompress.deploy.compute_types import FP32, ComputeType
from gancompress.deploy.files import disk_bytes
from gancompress.deploy.runtimes.formats import Format, Mode
from gancompress.deploy.runtimes.runner import Runner
from gancompress.deploy.runtimes.runtime import Runtime
from gancompress.errors import ConfigError, ExportError, nearest
from gancompress.io.trust import Trust, check_consent
from gancompress.registry import Registry, import_path_of

_OWN = (
    "torch_runtime",
    "onnx_runtime",
    "openvino_runtime",
    "coreml_runtime",
    "executorch_runtime",
    "litert_runtime",
    "ncnn_runtime",
    "browser_runtime",
)

AnyRuntime = TypeVar("AnyRuntime", bound=Runtime)
Member = TypeVar("Member", Format, Mode)


class RuntimeRegistry(Registry[Runtime]):
    """Runtimes by name. Names of formats and of modes, and endings of files, also belong to one runtime each."""

    def add(self, kind: type[AnyRuntime]) -> type[AnyRuntime]:
        """Add a runtime, as a decorator of its class. The same class may be added twice.

        Raises:
            ConfigError: It has no name or title; its name, a format, a mode or an ending is taken; or a format with
                integers has no `IntegerForm`.
        """
        self._add(getattr(kind, "name", ""), kind())
        return kind

    def check(self, path: str, found: Any) -> Runtime:
        """Add a runtime found at an import path. Raises ConfigError if it is no subclass of `Runtime`."""
        if not (isinstance(found, type) and issubclass(found, Runtime)):
            got = found.__name__ if isinstance(found, type) else type(found).__name__
            raise ConfigError(f"{path}: got {got}, expected a subclass of gancompress.deploy.Runtime")
        self.add(found)
        return self._values[found.name]

    def check_new(self, name: str, value: Runtime) -> None:
        """Check the attributes of a runtime. Raises ConfigError as `add`."""
        where = f"runtime {import_path_of(type(value))}"
        if not name or not getattr(value, "title", None):
            raise ConfigError(f"{where}: got no name or title, expected both as attributes of the class")
        for each in value.formats:
            integers = next((other.name for other in each.compute_types if other.integers), None)
            if integers and each.integers is None:
                raise ConfigError(
                    f"{where}: got {integers} in the format '{each.name}' without integers, expected an IntegerForm"
                )
        for other in self._values.values():
            for kind, names in {} if self.same(value, other) else _names(value).items():
                taken = next((each for each in names if each in _names(other)[kind]), None)
                if taken is not None:
                    raise ConfigError(
                        f"{where}: got the {kind} '{taken}', expected another one: {import_path_of(type(other))} has it"
                    )

    def defining(self, value: Runtime) -> Any:
        """Return the class."""
        return type(value)


RUNTIMES = RuntimeRegistry("runtimes", "a known runtime", tuple(f"{__package__}.{module}" for module in _OWN))
"""Every runtime by name."""

register_runtime = RUNTIMES.add


def known_formats() -> dict[str, Format]:
    """Return every format of files by name, without web pages."""
    kinds = [each for runtime in RUNTIMES.values() for each in runtime.formats]
    return {each.name: each for each in kinds if not each.page}


def known_modes() -> dict[str, Mode]:
    """Return every mode by name."""
    return {each.name: each for runtime in RUNTIMES.values() for each in runtime.modes}


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
        runtime = RUNTIMES.find(name, where)
        if not members(runtime):
            raise ConfigError(f"{where}: got {name}, expected a runtime that {expected}")
        return runtime, members(runtime)[0]
    known = {each.name: (runtime, each) for runtime in RUNTIMES.values() for each in members(runtime)}
    if name not in known:
        raise ConfigError(f"{where}: got {shown}, expected a known one; {nearest(name, known)}")
    return known[name]


def find_compute_type(kind: Format, precision: str, where: str = "export") -> ComputeType:
    """Return the compute type of a format by the name of a precision.

    Args:
        kind: The format.
        precision: A name in `Format.precisions`.
        where: Beginning of messages.

    Raises:
        ExportError: The format has no such precision; the message ends with the formats that have it.
    """
    found = next((each for each in kind.compute_types if each.name == precision), None)
    if found is None:
        able = [name for name, other in known_formats().items() if precision in other.precisions]
        known = {name for other in known_formats().values() for name in other.precisions}
        hint = f"{precision} takes the format {' or '.join(able)}" if able else nearest(precision, known)
        raise ExportError(
            f"{where}: got precision '{precision}' for the format '{kind.name}', expected "
            f"{' or '.join(kind.precisions)}; {hint}"
        )
    return found


def format_of(path: Path) -> str:
    """Return the name of the format of a path's ending.

    Raises:
        ConfigError: No format has it.
    """
    known = known_formats()
    found = next((name for name, each in known.items() if each.ending == path.suffix), None)
    if found is None:
        endings = ", ".join(dict.fromkeys(each.ending for each in known.values()))
        raise ConfigError(f"{path}: got the ending '{path.suffix}', expected one of {endings}; or name the format")
    return found


def runtime_of(path: Path) -> Runtime | None:
    """Return the runtime that opens a file by its ending; None if no runtime does."""
    return next((each for each in RUNTIMES.values() if path.suffix in each.endings), None)


def open_file(path: Path, threads: int | None = None, precision: str | None = None) -> Runner:
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
        endings = ", ".join(ending for each in RUNTIMES.values() for ending in each.endings)
        raise ConfigError(f"{path}: got '{path.suffix}', expected the ending of an exported file: {endings}")
    check_precision(path, runtime, precision)
    return runtime.open(path, threads, precision)


def check_runs_code(path: Path, trust: Trust) -> None:
    """Check the consent to open a file whose runtime can run any code. Raises TrustError if it is missing."""
    runtime = runtime_of(path)
    if runtime is not None and runtime.runs_code:
        check_consent(path, str(path), trust)


def check_precision(path: Path, runtime: Runtime | None, precision: str | None) -> None:
    """Check that a runtime, or eager if it is None, computes in a precision.

    Raises:
        ConfigError: It does not.
    """
    if precision in (None, FP32.name) or (runtime and precision in {mode.precision for mode in runtime.modes}):
        return
    able = [each for each in RUNTIMES.values() if precision in {mode.precision for mode in each.modes}]
    names = " and ".join(f"{each.title}'s {' and '.join(each.endings)} files" for each in able) or "no runtime"
    raise ConfigError(f"{path}: got precision '{precision}', expected none, because only {names} compute in it")


def missing_package(format: str) -> str | None:
    """Return the end of a message that names a package that a format lacks; None if none is missing."""
    return find_format(format)[0].missing_package(to_write=True)


def file_name(format: str, precision: str | None = None) -> str:
    """Return the default name of a file: ``model.onnx``, ``model.int8.onnx``, ``model.fastest.onnx``."""
    name = Path(find_format(format)[1].file_name)
    return str(name if precision in (None, FP32.name) else name.with_suffix(f".{precision}{name.suffix}"))


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
    path = import_path_of(type(runtime))
    if path.startswith("__main__:") or "<locals>" in path:
        raise ConfigError(
            f"runtime '{runtime.name}': got {path}, which no other process can import; define the class at the top of "
            "a module"
        )
    return path


def _names(runtime: Runtime) -> dict[str, tuple[str, ...]]:
    return {
        "name": (runtime.name,),
        "format": tuple(each.name for each in runtime.formats),
        "mode": tuple(each.name for each in runtime.modes),
        "ending": runtime.endings,
    }
