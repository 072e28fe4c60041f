"""Taps: modules of teacher and student whose feature maps are compared.

A tap is the path of a module in both networks, or ``TEACHER=STUDENT``, its path in each of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Literal

from gancompress.channels import lies_in, owner_of
from gancompress.losses.term import Maps

Side = Literal["teacher", "student"]


def path_in(side: Side, tap: str) -> str:
    """Return the path of a tap's module in the teacher or in the student."""
    teacher, _, student = tap.partition("=")
    return student if student and side == "student" else teacher


def outside_blocks(taps: Sequence[str], blocks: Iterable[str]) -> tuple[str, ...]:
    """Replace taps inside of residual blocks that a student may lack by modules that it has.

    These are the blocks, which then return their input, or the module that adds a branch. A branch that the network
    itself adds has none, and its taps are dropped.

    Args:
        taps: Paths of modules.
        blocks: Names of the blocks that some network of the student leaves out.
    """
    blocks = tuple(blocks)

    def outside(tap: str) -> str:
        return next((owner_of(block) for block in blocks if lies_in(tap, block)), tap)

    return tuple(dict.fromkeys(filter(None, map(outside, taps))))


def matched_taps(teacher: Maps, student: Maps) -> tuple[str, ...]:
    """Match maps of two architectures by spatial size, in the order of both: as many as possible, late ones first.

    Args:
        teacher: Maps [b, c, ...] of the teacher by path, in the order of the forward pass.
        student: The same of the student, for the same input.

    Returns:
        Taps in the order of the forward pass; none if no sizes are equal.
    """
    theirs, own = list(teacher), list(student)

    @cache
    def of_first(m: int, n: int) -> tuple[str, ...]:  # the longest common subsequence of sizes
        if not m or not n:
            return ()
        path, partner = theirs[m - 1], own[n - 1]
        if teacher[path].shape[2:] == student[partner].shape[2:]:
            return (*of_first(m - 1, n - 1), path if path == partner else f"{path}={partner}")
        return max(of_first(m - 1, n), of_first(m, n - 1), key=len)

    return of_first(len(theirs), len(own))
