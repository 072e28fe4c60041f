"""Check that feature maps of student and teacher come from the same layers."""

from __future__ import annotations

from collections.abc import Iterable

from gancompress.errors import ConfigError


def check_taps(where: str, expected: Iterable[str], **maps: Iterable[str]) -> None:
    """Raise an error unless all sides have maps of the same layers.

    Args:
        where: Beginning of the error message.
        expected: Expected names of layers.
        maps: Names on each side.

    Raises:
        ConfigError: A side lacks a name or has an extra one, or there are none.
    """
    names = list(expected)
    for side, given in maps.items():
        if not names or set(given) != set(names):
            raise ConfigError(
                f"{where}: got {side} maps of {', '.join(given) or 'no layers'}, expected those of "
                f"{', '.join(names) or 'at least one layer'}; tap the same layers of both networks"
            )
