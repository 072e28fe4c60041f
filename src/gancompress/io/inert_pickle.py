"""Reading of pickles without importing, creating or calling anything that they name.

A pickle is a program for a small stack machine. Here its operations build plain containers, and a record for everything
else: the name of a class or function stays a name, a call stays the record of a call. Hostile files therefore cannot do
more than be read.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import IO, Any


class PickleError(Exception):
    """A pickle that is cut off, damaged, or none at all."""


@dataclass(frozen=True)
class Name:
    """Import path of a class or function, such as ``collections.OrderedDict``."""

    path: str


@dataclass(eq=False)
class Foreign:
    """Record of an object that the pickle would create.

    Attributes:
        of: Import path of its class or of the function that returns it; empty if the pickle does not name one.
        arguments: Arguments of the call.
        state: Attributes that the pickle would set; None if it sets none.
        items: Items that it would set.
    """

    of: str
    arguments: tuple[Any, ...] = ()
    state: Any = None
    items: dict[Any, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Persistent:
    """Reference to something outside the pickle, such as the storage of a tensor."""

    id: Any


class Table(dict[Any, Any]):
    """A dictionary of the pickle.

    Attributes:
        state: Attributes that the pickle would set, such as ``_metadata`` of a state dict; None if it sets none.
    """

    state: Any = None


_DICTIONARIES = ("collections.OrderedDict", "collections.defaultdict", "collections.Counter", "builtins.dict")
_OLD_MODULES = {"__builtin__": "builtins", "copy_reg": "copyreg"}  # of Python 2
_SETS = ("builtins.set", "builtins.frozenset")
_CONSTRUCTORS = ("copyreg._reconstructor", "copyreg.__newobj__")  # they create an object of their first argument
_MARK = object()


def read_pickle(file: IO[bytes]) -> Any:
    """Read one pickle from an open file, and leave the file behind its end.

    Returns:
        Plain numbers, texts, bytes, lists, tuples and `Table`; sets as lists; and `Name`, `Foreign` and `Persistent`.

    Raises:
        PickleError: The file holds no whole pickle.
    """
    return _Machine().run(file)


class _Machine:
    """Stack machine of pickles whose every operation only moves or wraps values."""

    def __init__(self) -> None:
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    def run(self, file: IO[bytes]) -> Any:
        try:
            for opcode, argument, _ in pickletools.genops(file):
                if opcode.name == "STOP":
                    return self._stack.pop()
                self._step(opcode.name, argument)
        except (IndexError, KeyError, TypeError, ValueError, OverflowError, MemoryError) as error:
            raise PickleError(str(error)) from None
        raise PickleError("it has no end")

    def _step(self, name: str, argument: Any) -> None:
        if name in _CONSTANTS:
            self._stack.append(_CONSTANTS[name]())
        elif name in _OPERATIONS:
            _OPERATIONS[name](self, argument)
        elif name not in _IGNORED:
            self._stack.append(argument)  # numbers, texts, bytes

    def _marked(self) -> list[Any]:
        """Pop all values above the last mark, and the mark."""
        start = len(self._stack) - 1
        while self._stack[start] is not _MARK:
            start -= 1
            if start < 0:
                raise ValueError("it has no mark")
        values = self._stack[start + 1 :]
        del self._stack[start:]
        return values

    def _global(self, argument: str) -> None:
        module, _, name = argument.partition(" ")
        self._stack.append(_name(module, name))

    def _stack_global(self, _: Any) -> None:
        module, name = self._taken(2)
        self._stack.append(_name(str(module), str(name)))

    def _reduce(self, _: Any) -> None:
        function, arguments = self._taken(2)
        self._stack.append(_called(function, arguments))

    def _new_with_keywords(self, _: Any) -> None:
        kind, arguments, _keywords = self._taken(3)
        self._stack.append(_called(kind, arguments))

    def _instance(self, argument: str) -> None:
        arguments = self._marked()
        self._global(argument)
        self._stack[-1] = _called(self._stack[-1], tuple(arguments))

    def _object(self, _: Any) -> None:
        kind, *arguments = self._marked()
        self._stack.append(_called(kind, tuple(arguments)))

    def _build(self, _: Any) -> None:
        built, state = self._taken(2)
        if isinstance(built, Table | Foreign):
            built.state = state
        self._stack.append(built)

    def _set_items(self, values: Iterable[Any]) -> None:
        values = list(values)
        target = self._stack[-1]
        items = target.items if isinstance(target, Foreign) else target
        if not isinstance(items, dict):
            raise TypeError(f"it sets items of a {type(target).__name__}")
        for key, value in zip(values[::2], values[1::2], strict=True):
            if _is_plain_key(key):
                items[key] = value

    def _append(self, values: Iterable[Any]) -> None:
        target = self._stack[-1]
        if isinstance(target, list):
            target.extend(values)
        elif not isinstance(target, Foreign):
            raise TypeError(f"it appends to a {type(target).__name__}")

    def _taken(self, count: int) -> list[Any]:
        if len(self._stack) < count or any(value is _MARK for value in self._stack[-count:]):
            raise IndexError("it takes more values than there are")
        values = self._stack[-count:]
        del self._stack[-count:]
        return values

    def _push(self, value: Any) -> None:
        self._stack.append(value)

    def _put(self, number: Any) -> None:
        self._memo[int(number)] = self._stack[-1]

    def _memoize(self, _: Any) -> None:
        self._memo[len(self._memo)] = self._stack[-1]


_CONSTANTS: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
    "EMPTY_DICT": Table,
    "EMPTY_SET": list,
    "MARK": lambda: _MARK,
    "NEXT_BUFFER": lambda: None,
}

_IGNORED = ("PROTO", "FRAME", "READONLY_BUFFER")

_OPERATIONS: dict[str, Callable[[_Machine, Any], Any]] = {
    "GLOBAL": _Machine._global,
    "STACK_GLOBAL": _Machine._stack_global,
    "EXT1": lambda machine, code: machine._push(Name(f"copyreg.extension_{code}")),
    "EXT2": lambda machine, code: machine._push(Name(f"copyreg.extension_{code}")),
    "EXT4": lambda machine, code: machine._push(Name(f"copyreg.extension_{code}")),
    "REDUCE": _Machine._reduce,
    "NEWOBJ": _Machine._reduce,
    "NEWOBJ_EX": _Machine._new_with_keywords,
    "INST": _Machine._instance,
    "OBJ": _Machine._object,
    "BUILD": _Machine._build,
    "PERSID": lambda machine, given: machine._push(Persistent(given)),
    "BINPERSID": lambda machine, _: machine._push(Persistent(machine._taken(1)[0])),
    "LIST": lambda machine, _: machine._push(machine._marked()),
    "TUPLE": lambda machine, _: machine._push(tuple(machine._marked())),
    "FROZENSET": lambda machine, _: machine._push(machine._marked()),
    "TUPLE1": lambda machine, _: machine._push(tuple(machine._taken(1))),
    "TUPLE2": lambda machine, _: machine._push(tuple(machine._taken(2))),
    "TUPLE3": lambda machine, _: machine._push(tuple(machine._taken(3))),
    "DICT": lambda machine, _: _push_table(machine, machine._marked()),
    "SETITEM": lambda machine, _: machine._set_items(machine._taken(2)),
    "SETITEMS": lambda machine, _: machine._set_items(machine._marked()),
    "APPEND": lambda machine, _: machine._append(machine._taken(1)),
    "APPENDS": lambda machine, _: machine._append(machine._marked()),
    "ADDITEMS": lambda machine, _: machine._append(machine._marked()),
    "POP": lambda machine, _: machine._stack.pop(),
    "POP_MARK": lambda machine, _: machine._marked(),
    "DUP": lambda machine, _: machine._push(machine._stack[-1]),
    "GET": lambda machine, number: machine._push(machine._memo[int(number)]),
    "BINGET": lambda machine, number: machine._push(machine._memo[number]),
    "LONG_BINGET": lambda machine, number: machine._push(machine._memo[number]),
    "PUT": _Machine._put,
    "BINPUT": _Machine._put,
    "LONG_BINPUT": _Machine._put,
    "MEMOIZE": _Machine._memoize,
}


def _push_table(machine: _Machine, values: list[Any]) -> None:
    machine._push(Table())
    machine._set_items(values)


def _name(module: str, name: str) -> Name:
    return Name(f"{_OLD_MODULES.get(module, module)}.{name}")


def _called(function: Any, arguments: Any) -> Any:
    """Return the record of a call; an empty or filled `Table` for the dictionaries of the standard library."""
    of = function.path if isinstance(function, Name) else ""
    arguments = arguments if isinstance(arguments, tuple) else ()
    first = arguments[0] if arguments else None
    if of in _CONSTRUCTORS and isinstance(first, Name):
        return _called(first, ())
    if of in _SETS:
        return list(first) if isinstance(first, list) else []
    if of not in _DICTIONARIES:
        return Foreign(of, arguments)
    if isinstance(first, Table):
        return Table(first)
    pairs = (
        [each for each in first if isinstance(each, list | tuple) and len(each) == 2] if isinstance(first, list) else []
    )
    return Table({key: value for key, value in pairs if _is_plain_key(key)})


def _is_plain_key(key: Any) -> bool:
    """Return whether hashing a key is quick and safe: a tuple nested a million times would overflow the C stack."""
    plain = (str, bytes, int, float, bool, type(None), Name)
    return isinstance(key, plain) or (isinstance(key, tuple) and all(isinstance(each, plain) for each in key))
