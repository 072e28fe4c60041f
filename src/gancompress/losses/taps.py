"""Feature maps of student and teacher, paired by the name of the layer they were taken from."""

from __future__ import annotations

from collections.abc import Iterable

from gancompress.errors import ConfigError


def check_taps(where: str, expected: Iterable[str], **maps: Iterable[str]) -> None:
    """Refuse maps that do not pair up.

    Args:
        where: Beginning of the message.
        expected: Names that all of the others must have.
        maps: Names on each side.

    Raises:
        ConfigError: A side lacks a name or has one too much, or there are none.
    """
    names = list(expected)
    for side, given in maps.items():
        if not names or set(given) != set(names):
            raise ConfigError(
                f"{where}: got {side} maps of {', '.join(given) or 'no layers'}, expected those of "
                f"{', '.join(names) or 'at least one layer'}; tap the same layers of both networks"
            )
