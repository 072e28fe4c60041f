"""Shapes as signed distances: negative inside, zero on the surface, and at most the distance to the surface.

Source: the distance formulas are the elementary ones of Hart, Sphere Tracing, The Visual Computer 1996.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
"""Arrays of float32, the type of all computation here."""

_ROUNDING = 0.045


@dataclass(frozen=True)
class Shape:
    """Solid of about unit size around the origin.

    Attributes:
        distance: Function from points [3, n] to distances [n].
        radius: Radius of the smallest sphere around the origin that holds it.
        height: Height of its centre when it stands on the floor.
        colour: Colour of its material, RGB, 0 to 1: each shape has its own.
    """

    distance: Callable[[Floats], Floats]
    radius: float
    height: float
    colour: tuple[float, float, float]


def _sphere(point: Floats) -> Floats:
    return _length(point) - 0.9


def _box(point: Floats) -> Floats:
    outside = np.abs(point) - (0.68 - _ROUNDING)
    return _length(np.maximum(outside, 0)) + np.minimum(outside.max(axis=0), 0) - _ROUNDING


def _torus(point: Floats) -> Floats:
    return np.hypot(np.hypot(point[0], point[2]) - 0.68, point[1]) - 0.3


def _cylinder(point: Floats) -> Floats:
    return _rounded(np.hypot(point[0], point[2]) - 0.6, np.abs(point[1]) - 0.8)


def _disc(point: Floats) -> Floats:
    return _rounded(np.hypot(point[0], point[2]) - 0.98, np.abs(point[1]) - 0.34)


def _cone(point: Floats) -> Floats:
    across = np.hypot(point[0], point[2])
    side = (across * 0.9 + (point[1] - 1.05) * 0.4359) + _ROUNDING
    base = -0.75 + _ROUNDING - point[1]
    return _length(np.maximum(np.stack([side, base]), 0)) + np.minimum(np.maximum(side, base), 0) - _ROUNDING


def _capsule(point: Floats) -> Floats:
    along = point[1] - point[1].clip(-0.5, 0.5)
    return np.sqrt(point[0] ** 2 + along**2 + point[2] ** 2) - 0.52


def _octahedron(point: Floats) -> Floats:
    return (np.abs(point).sum(axis=0) - 1.15) * 0.57735 - 0.03


def _rounded(across: Floats, along: Floats) -> Floats:
    """Return the distance to a solid of revolution with a rounded rim, from its two distances."""
    across, along = across + _ROUNDING, along + _ROUNDING
    return np.hypot(np.maximum(across, 0), np.maximum(along, 0)) + np.minimum(np.maximum(across, along), 0) - _ROUNDING


def _length(vector: Floats) -> Floats:
    return np.sqrt(np.einsum("cn,cn->n", vector, vector))


SHAPES: dict[str, Shape] = {
    "sphere": Shape(_sphere, 0.9, 0.9, (0.88, 0.16, 0.13)),
    "box": Shape(_box, 1.18, 0.68, (0.10, 0.30, 0.82)),
    "torus": Shape(_torus, 0.98, 0.3, (0.98, 0.60, 0.06)),
    "cylinder": Shape(_cylinder, 1.0, 0.8, (0.10, 0.58, 0.25)),
    "disc": Shape(_disc, 1.04, 0.34, (0.05, 0.60, 0.66)),
    "cone": Shape(_cone, 1.2, 0.75, (0.48, 0.18, 0.74)),
    "capsule": Shape(_capsule, 1.02, 1.02, (0.93, 0.38, 0.60)),
    "octahedron": Shape(_octahedron, 1.21, 1.2, (0.55, 0.68, 0.10)),
}
