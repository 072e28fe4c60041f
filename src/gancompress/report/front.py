"""The quality-cost front of a search."""

from __future__ import annotations

from collections.abc import Iterable

from gancompress.report.data import Better, Candidate


def pareto_front(candidates: Iterable[Candidate], better: Better) -> list[Candidate]:
    """The candidates that no other one beats, by rising cost.

    One beats another if it is no worse in cost and quality and better in one of them; of equals the first stays.
    Candidates without a finite quality (NaN) are never on the front.
    """
    sign = 1 if better == "lower" else -1
    known = (candidate for candidate in candidates if candidate.value == candidate.value)
    front: list[Candidate] = []
    for candidate in sorted(known, key=lambda candidate: (candidate.cost, sign * candidate.value)):
        if not front or sign * candidate.value < sign * front[-1].value:
            front.append(candidate)
    return front
