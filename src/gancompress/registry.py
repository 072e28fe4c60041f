"""Registries of kinds, open to other packages by a decorator, an entry point, or an import path in a recipe."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Generic, TypeVar, cast

from pydantic import BeforeValidator, PlainSerializer, SerializerFunctionWrapHandler, model_serializer

from gancompress.errors import ConfigError, in_the_middle, nearest
from gancompress.io.trust import check_import
from gancompress.options import Options, OptionsError

T = TypeVar("T")
V = TypeVar("V")
K = TypeVar("K", bound="Kind")
C = TypeVar("C", bound=type)

_PACKAGE = __name__.partition(".")[0]


class Registry(Mapping[str, T]):
    """Mapping of names to values, from this package and from others that extend it.

    Another package adds a value with the decorator `register`, or installs it as an entry point of the group
    ``gancompress.<group>``, which is loaded when it is first asked for.
    """

    def __init__(self, group: str, expected: str, modules: Sequence[str] = (), values: type = object) -> None:
        """Create an empty registry.

        Args:
            group: Last part of the name of the entry-point group, such as ``terms``.
            expected: Description of a value for messages, such as ``a loss term``.
            modules: Modules of this package that add values when they are imported, which the first look-up does.
            values: Class of the values.
        """
        self.group, self.expected = f"{_PACKAGE}.{group}", expected
        self._modules, self._class = modules, values
        self._values: dict[str, T] = {}

    def register(self, name: str) -> Callable[[V], V]:
        """Return a decorator that adds a value under a name.

        Raises:
            ConfigError: Another value has the name already.
        """

        def add(value: V) -> V:
            self._add(name, cast(T, value))
            return value

        return add

    def find(self, name: object, where: str = "") -> T:
        """Return a value by its name, or by its import path ``package.module:attribute``.

        Args:
            name: The name or path.
            where: Beginning of messages, such as ``--format``.

        Raises:
            OptionsError: There is no such value; the message ends with the nearest name.
        """
        try:
            return self._found(name)
        except ConfigError as error:
            raise OptionsError([(where, str(error))]) from error.__cause__

    def known(self, name: str) -> str:
        """Return a name or import path unchanged, to validate an option. Raises OptionsError as `find`."""
        self.find(name)
        return name

    def check(self, path: str, found: Any) -> T:
        """Return the value found at an import path. Raises ConfigError if it is not one of these."""
        if not isinstance(found, self._class):
            raise ConfigError(f"{path}: got a {type(found).__name__}, expected a {self._class.__name__}")
        return found

    def defining(self, value: T) -> Any:
        """Return the class or function that defines a value; the value itself by default."""
        return value

    def check_new(self, name: str, value: T) -> None:
        """Check that a value can be added. The same class or function may be added twice, as a notebook does.

        Raises:
            ConfigError: Another value has the name already.
        """
        known = self._values.get(name)
        if known is not None and not self.same(known, value):
            raise ConfigError(
                f"{self.group}: got a second '{name}', expected another name; "
                f"{import_path_of(self.defining(known))} has it"
            )

    def same(self, one: T, other: T) -> bool:
        """Return whether one class or function defines both values."""
        source = self.defining(one)
        return hasattr(source, "__qualname__") and import_path_of(source) == import_path_of(self.defining(other))

    def __getitem__(self, name: str) -> T:
        self._import_own()
        if name not in self._values and name in self._entry_points:
            self._values.setdefault(name, self._installed(self._entry_points[name]))
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        self._import_own()
        return iter(dict.fromkeys((*self._values, *self._entry_points)))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def _found(self, name: object) -> T:
        if isinstance(name, str) and name in self:
            return self[name]
        if isinstance(name, str) and ":" in name:
            return self.check(name, import_object(name))
        got = "nothing" if name is None else in_the_middle(repr(name), 120)
        raise ConfigError(f"got {got}, expected {self.expected}; {nearest('' if name is None else str(name), self)}")

    def _add(self, name: str, value: T) -> None:
        module = getattr(self.defining(value), "__module__", None)
        self._import_own(before=module)  # so that the order does not depend on which module was imported first
        self.check_new(name, value)
        self._values[name] = value

    def _import_own(self, before: str | None = None) -> None:
        for module in self._modules:
            if module == before:
                return
            importlib.import_module(module)

    def _installed(self, entry: EntryPoint) -> T:
        try:
            return self.check(entry.value, _imported(entry.value))  # who installs a package agrees to run it
        except ConfigError as error:
            raise ConfigError(
                f"entry point '{entry.name}' of {self.group}: {error}; repair or uninstall the package that declares it"
            ) from error

    @cached_property
    def _entry_points(self) -> Mapping[str, EntryPoint]:
        return {each.name: each for each in entry_points(group=self.group)}


class Kind(Options):
    """Base of options that a recipe chooses by ``kind``.

    kind: Name of the class in recipes and logs.
    registry: The registry that holds the class.
    """

    kind: ClassVar[str] = ""
    registry: ClassVar[KindRegistry[Any]]

    @model_serializer(mode="wrap")
    def _with_kind(self, fields: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {"kind": self.registry.spelling(type(self)), **fields(self)}


class KindRegistry(Registry[type[K]], Generic[K]):
    """Classes of options by their ``kind``."""

    def __init__(
        self, group: str, base: type[K], expected: str, renamed: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        """Create an empty registry.

        Args:
            group: Last part of the name of the entry-point group, such as ``terms``.
            base: Base class of the registered classes.
            expected: Description of a value for messages, such as ``a loss term``.
            renamed: Kinds by the names that older versions gave them, for messages.
        """
        super().__init__(group, expected)
        self._renamed = renamed
        self.base = base
        self._function_kind: type[K] | None = None
        base.registry = self

    def add(self, kind: C) -> C:
        """Add a class under its ``kind``; a decorator.

        Raises:
            ConfigError: It has no ``kind``, or another class has the same one.
        """
        if not issubclass(kind, Kind) or not kind.kind:
            raise ConfigError(f"{self.group}: got {import_path_of(kind)} without a kind, expected a name in 'kind'")
        self._add(kind.kind, cast(type[K], kind))
        return kind

    def accept_functions(self, kind: C) -> C:
        """Register a class with a field ``function`` for functions and their import paths; a decorator."""
        self._function_kind = cast(type[K], kind)
        return self.add(kind)

    def spelling(self, kind: type[K]) -> str:
        """Return the name of a class that recipes can use in any process: its kind if installed, else its path."""
        if _package_of(kind) == _PACKAGE or (kind.kind in self._entry_points and self[kind.kind] is kind):
            return kind.kind
        return import_path_of(kind)

    def parse(self, value: Any) -> K:
        """Return the options that a recipe or a caller wrote.

        Args:
            value: Options; or a kind, a mapping of ``kind`` and options, or a function if this registry accepts them.

        Raises:
            ConfigError: There is no such kind, or its options do not fit; all of them in one line.
        """
        if isinstance(value, self.base):
            return value
        given = dict(value) if isinstance(value, Mapping) else {"kind": value}
        kind = given.pop("kind", None)
        if self._is_function(kind):
            return self._function_kind(**{**given, "function": kind})  # type: ignore[misc]
        if isinstance(kind, type) and issubclass(kind, self.base):
            raise OptionsError([("", f"got the class {kind.__name__}, expected options; write {kind.__name__}(...)")])
        where = "kind" if isinstance(value, Mapping) else ""
        if isinstance(kind, str) and kind in self._renamed:
            raise OptionsError([(where, f"got '{kind}', which is called '{self._renamed[kind]}' now; write that")])
        found = self.find(kind, where)
        return found(**given) if isinstance(found, type) else self._function_kind(**{**given, "function": kind})  # type: ignore[misc]

    def _is_function(self, value: Any) -> bool:
        return self._function_kind is not None and callable(value) and not isinstance(value, type)

    def check(self, path: str, found: Any) -> type[K]:
        """Return the class, or the function if this registry accepts them. Raises ConfigError for anything else."""
        if isinstance(found, type) and issubclass(found, self.base):
            return found
        if self._is_function(found):
            return cast(type[K], found)
        functions = "" if self._function_kind is None else " or a function"
        got = f"the class {found.__name__}" if isinstance(found, type) else f"a {type(found).__name__}"
        raise ConfigError(f"{path}: got {got}, expected a subclass of {self.base.__name__}{functions}")


def import_object(path: str) -> Any:
    """Return the object at an import path.

    Args:
        path: ``package.module:name``; the name may be nested (``module:Outer.Inner``).

    Raises:
        ConfigError: The path is incomplete, there is no such module, importing it failed, or it has no such name.
        TrustError: A file that is being read names it, and the user did not agree to run what the file names.
    """
    check_import(path)
    return _imported(path)


def _imported(path: str) -> Any:
    module_name, _, attribute = path.partition(":")
    if not module_name or not attribute:
        raise ConfigError(f"{path}: got an incomplete import path, expected 'package.module:name'")
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise ConfigError(f"{path}: importing {module_name} failed: {error}") from error
        raise ConfigError(
            f"{path}: found no module '{error.name}', expected an importable one; "
            "install it or put its folder on PYTHONPATH"
        ) from None
    except Exception as error:
        raise ConfigError(f"{path}: importing {module_name} failed: {type(error).__name__}: {error}") from error
    for name in attribute.split("."):
        if not hasattr(found, name):
            public = [known for known in vars(found) if not known.startswith("_")]
            raise ConfigError(f"{path}: {found.__name__} has no '{name}', {nearest(name, public)}")
        found = getattr(found, name)
    return found


def import_path_of(value: Any) -> str:
    """Return the import path of a class or function; of any other value that of its class."""
    named = value if hasattr(value, "__qualname__") else type(value)
    return f"{named.__module__}:{named.__qualname__}"


def function_of(function: str | Callable[..., Any]) -> Callable[..., Any]:
    """Return a function from itself or its import path.

    Raises:
        ConfigError: It cannot be imported, or is no function.
    """
    found = import_object(function) if isinstance(function, str) else function
    if not callable(found):
        where = f"{function}: " if isinstance(function, str) else ""
        raise ConfigError(f"{where}got a {type(found).__name__}, expected a function")
    return found


def path_of(function: str | Callable[..., Any]) -> str:
    """Return the import path of a function, given it or its path."""
    return function if isinstance(function, str) else import_path_of(function)


def _checked(function: Any) -> Any:
    try:
        function_of(function)
    except ConfigError as error:
        raise ValueError(str(error)) from None
    return function


AnyFunction = Annotated[str | Callable[..., Any], BeforeValidator(_checked), PlainSerializer(path_of, return_type=str)]
"""A function in options: itself, or its import path, by which it is written down."""


def _package_of(value: Any) -> str:
    return import_path_of(value).partition(":")[0].partition(".")[0]
