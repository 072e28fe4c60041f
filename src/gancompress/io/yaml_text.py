"""YAML of plain values, in bounded time and memory, whatever the text holds.

The text is scanned as a stream of events before anything is built: an alias counts as often as its anchor is large, so
that a short text cannot stand for a huge value.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

from gancompress.errors import ConfigError

MAX_CHARACTERS, MAX_VALUES, MAX_DEPTH = 2**20, 100_000, 50
_LARGEST_INTEGER = 2**63
_CHARACTERS_PER_VALUE = 64
"""Characters of a text that count as one value."""

_Base: Any = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader


class _Loader(_Base):
    """Loader of texts, numbers, truth values, lists and mappings; it reads ``2e-4`` as a number."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith((":timestamp", ":value"))]
    for first, resolvers in _Loader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?(\d+(\.\d*)?|\.\d+)[eE][-+]?\d+$"), list("-+0123456789.")
)


def read_yaml(text: str) -> Any:
    """Return the value that a YAML text holds: None, bool, int, float, str, list, or dict with str keys.

    Values that the text names twice by an alias are independent copies.

    Raises:
        ConfigError: It is no YAML; or it is too long or nested too deep, has an alias of itself, a tag, a key that is
            no text, or an integer beyond 64 bits. The message goes behind the name of the text.
    """
    if len(text) > MAX_CHARACTERS:
        raise ConfigError(f"got {len(text):,} characters, expected at most {MAX_CHARACTERS:,}")
    try:
        _check_size(text)
        return _plain(yaml.load(text, _Loader))
    except yaml.YAMLError as error:
        raise ConfigError(f"not YAML ({_in_a_line(error)})") from None
    except (ValueError, OverflowError, RecursionError) as error:  # a number of thousands of digits, for example
        raise ConfigError(f"got a value that is not readable ({_in_a_line(error)})") from None


def _check_size(text: str) -> None:
    """Raise ConfigError for a text that stands for too much; memory and time grow with its length alone."""
    sizes: dict[str, int] = {}
    open_anchors: list[tuple[str | None, int]] = []
    total = 0
    for event in yaml.parse(text, _Loader):
        line = event.start_mark.line + 1
        if isinstance(event, yaml.AliasEvent):
            if event.anchor in (anchor for anchor, _ in open_anchors):
                raise ConfigError(f"line {line}: got a value that holds itself, by the alias '*{event.anchor}'")
            total += sizes.get(event.anchor, 0)
        elif isinstance(event, yaml.NodeEvent):
            if event.tag is not None and event.tag != "!":  # type: ignore[attr-defined]
                raise ConfigError(f"line {line}: got the tag '{event.tag[:80]}', expected plain values without tags")  # type: ignore[attr-defined]
            before, total = total, total + 1
            if isinstance(event, yaml.ScalarEvent):
                total += len(event.value) // _CHARACTERS_PER_VALUE
                if event.anchor is not None:
                    sizes[event.anchor] = total - before
            else:
                open_anchors.append((event.anchor, before))
        elif isinstance(event, yaml.SequenceEndEvent | yaml.MappingEndEvent):
            anchor, before = open_anchors.pop()
            if anchor is not None:
                sizes[anchor] = total - before
        if total > MAX_VALUES:
            raise ConfigError(f"line {line}: got more than {MAX_VALUES:,} values, aliases written out, expected fewer")
        if len(open_anchors) > MAX_DEPTH:
            raise ConfigError(f"line {line}: got values nested deeper than {MAX_DEPTH}, expected fewer levels")


def _plain(value: Any) -> Any:
    """Return the value without shared parts. Raises ConfigError for a key or number that recipes cannot hold."""
    if isinstance(value, dict):
        if wrong := [key for key in value if not isinstance(key, str)]:
            raise ConfigError(f"got the key {str(wrong[0])[:80]}, expected a name; put it in quotes if it is one")
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if isinstance(value, int) and abs(value) >= _LARGEST_INTEGER:
        raise ConfigError(f"got a whole number of {value.bit_length()} bits, expected at most 63")
    return value


def _in_a_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
