"""Claims of many processes that share a search: which free candidate a process takes, and how often it looks.

Of processes that claim the same candidate all but one have made their calls for nothing, and a database serves one call
after the other. So a process draws among as many free candidates as it has seen processes at work.
"""

from __future__ import annotations

import random

_POLL_S = 0.5
_OFTEN = 32
"""Processes that may all look every half second."""
_WIDEST = 1024
"""Most free candidates among which a process draws."""


class Crowd:
    """The processes of a search, as one of them sees them."""

    def __init__(self, draw: random.Random) -> None:
        """Take a generator of random numbers that differ between processes."""
        self._draw, self._others, self._lost = draw, 0, 0

    def seen(self, num_running: int) -> None:
        """Take the number of candidates that are being evaluated."""
        self._others = max(self._others, num_running)

    def claimed(self, won: bool) -> None:
        """Take whether a claim was won."""
        self._lost = 0 if won else self._lost + 1

    def skip(self) -> int:
        """Draw the number of free candidates to skip; 0 for a process that has seen no other."""
        return self._draw.randrange(min(_WIDEST, max(self._others + 1, 2**self._lost)))

    def pause_s(self) -> float:
        """Return the seconds until the next look of a process that found none free."""
        return _POLL_S * max(1.0, self._others / _OFTEN)
