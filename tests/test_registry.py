"""Registries: how kinds of this package and of others are found, written down and refused."""

from __future__ import annotations

import importlib
from importlib.metadata import EntryPoint
from typing import Any, ClassVar

import pytest

from gancompress.errors import ConfigError
from gancompress.registry import Kind, KindRegistry, Registry, import_object


class Shape(Kind):
    """Base of the kinds of this test."""

    size: int = 1


@pytest.fixture
def shapes() -> KindRegistry[Shape]:
    return KindRegistry("shapes", Shape, "a shape")


class Square(Shape):
    kind = "square"


class Circle(Shape):
    kind = "circle"


class Unnamed(Shape):
    pass


class Functional(Shape):
    kind = "function"

    function: object


def corner() -> int:
    return 3


HERE = __name__


def test_kinds_are_found_by_name_by_mapping_and_by_import_path(shapes):
    shapes.add(Square)
    assert shapes.parse("square") == shapes.parse({"kind": "square"}) == Square()
    assert shapes.parse({"kind": f"{HERE}:Circle", "size": 3}) == Circle(size=3)
    assert shapes.parse(Circle(size=2)) == Circle(size=2)
    assert list(shapes) == ["square"]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("sqare", r"^got 'sqare', expected a shape; did you mean 'square'\?"),
        ({"kind": "sqare"}, r"^kind: got 'sqare', expected a shape; did you mean 'square'\?"),
        ({"size": 1}, r"^kind: got nothing, expected a shape; known: square"),
        ({"kind": "square", "sise": 1}, r"^sise: unknown option, did you mean 'size'\?"),
        (f"{HERE}:corner", r"corner: got a function, expected a subclass of Shape$"),
        (f"{HERE}:ClassVar", r"expected a subclass of Shape$"),
        (f"{HERE}:Sqare", r"has no 'Sqare', did you mean 'Square'\?"),
        ("no_such_package:Square", r"found no module 'no_such_package', expected an importable one; install it"),
    ],
)
def test_unknown_kinds_are_refused_in_one_line(shapes, value, message):
    shapes.add(Square)
    with pytest.raises(ConfigError, match=message) as error:
        shapes.parse(value)
    assert "\n" not in str(error.value)


def test_entry_points_are_loaded_when_they_are_asked_for(shapes, monkeypatch):
    found = [
        EntryPoint("circle", f"{HERE}:Circle", "gancompress.shapes"),
        EntryPoint("broken", "no_such_package:Thing", "gancompress.shapes"),
    ]
    groups: list[str] = []
    monkeypatch.setattr("gancompress.registry.entry_points", lambda group: (groups.append(group), found)[1])
    assert set(shapes) == {"circle", "broken"}
    assert shapes.parse({"kind": "circle", "size": 4}) == Circle(size=4)
    assert Circle().model_dump() == {"kind": "circle", "size": 1}
    with pytest.raises(ConfigError, match="found no module 'no_such_package'"):
        shapes.parse("broken")
    assert groups == ["gancompress.shapes"]


def test_a_dump_is_read_in_a_process_that_imported_nothing(shapes):
    """A decorator registers in its own process alone, so that what it registered is written as an import path."""
    shapes.add(Square)
    assert Square(size=2).model_dump() == {"kind": f"{HERE}:Square", "size": 2}
    assert shapes.parse(Square(size=2).model_dump()) == Square(size=2)


def test_names_are_given_once(shapes):
    shapes.add(Square)
    shapes.add(Square)  # as when a notebook runs a cell again

    class Other(Shape):
        kind: ClassVar[str] = "square"

    with pytest.raises(ConfigError, match=r"gancompress\.shapes: got a second 'square', expected another name; "):
        shapes.add(Other)
    with pytest.raises(ConfigError, match="Unnamed without a kind, expected a name in 'kind'"):
        shapes.add(Unnamed)


def test_functions_are_taken_where_a_registry_accepts_them(shapes):
    shapes.accept_functions(Functional)
    assert shapes.parse(corner) == Functional(function=corner)
    assert shapes.parse(f"{HERE}:corner") == Functional(function=f"{HERE}:corner")
    assert shapes.parse({"kind": corner, "size": 5}) == Functional(function=corner, size=5)


def test_the_order_is_that_of_the_modules_whichever_is_imported_first(tmp_path, monkeypatch):
    registry: Registry[Any] = Registry("parts", "a part", modules=("parts_first", "parts_second"))
    monkeypatch.setattr("gancompress.registry.PARTS", registry, raising=False)
    for name in ("first", "second"):
        source = f'from gancompress.registry import PARTS\n@PARTS.register("{name}")\ndef {name}(): ...\n'
        (tmp_path / f"parts_{name}.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    importlib.import_module("parts_second")
    assert list(registry) == ["first", "second"]


@pytest.mark.parametrize("path", ["a_module:", ":name", "name"])
def test_incomplete_import_paths(path):
    with pytest.raises(ConfigError, match="got an incomplete import path, expected 'package"):
        import_object(path)
