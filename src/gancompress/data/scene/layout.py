"""Random layout of scenes: solids on a floor."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gancompress.data.scene.shapes import SHAPES, Floats, Shape

PATTERNS = ("plain", "plain", "bands", "sectors")
"""Patterns of solids: one colour, or two in bands along the axis or in sectors around it."""

_TRIES = 40


@dataclass(frozen=True)
class Solid:
    """Shape placed in the scene.

    Attributes:
        shape: The shape.
        centre: Position, shape ``(3,)``, x to the right, y up, z to the viewer; the floor is y = 0.
        rotation: Rotation from the scene's axes to its own, shape ``(3, 3)``.
        scale: Size in multiples of the shape's.
        pattern: One of `PATTERNS`.
    """

    shape: Shape
    centre: Floats
    rotation: Floats
    scale: float
    pattern: str

    def to_own(self, points: Floats) -> Floats:
        """Convert points [3, n] of the scene to the coordinates of the shape."""
        return self.rotation @ (points - self.centre[:, None]) / np.float32(self.scale)

    def to_own_directions(self, directions: Floats) -> Floats:
        """Rotate directions [3, n], or one [3, 1], to the coordinates of the shape."""
        return self.rotation @ directions


@dataclass(frozen=True)
class Scene:
    """Solids on a floor, seen from above the front.

    Attributes:
        solids: At least one; they stand on the floor and do not intersect.
        tiled: Whether the floor is tiled. The tiles show in the drawing and determine the colour of the floor.
        turn: Angle of the tiles around the vertical, in radians.
        elevation: Angle of the camera above the horizon, in radians.
    """

    solids: tuple[Solid, ...]
    tiled: bool
    turn: float
    elevation: float


def random_scene(draw: np.random.Generator) -> Scene:
    """Draw a scene of two to four solids."""
    solids: list[Solid] = []
    num_solids = int(draw.integers(2, 5))
    for _ in range(_TRIES):
        solid = _random_solid(draw)
        if all(_apart(solid, other) for other in solids):
            solids.append(solid)
        if len(solids) == num_solids:
            break
    return Scene(
        solids=tuple(solids),
        tiled=bool(draw.integers(2)),
        turn=float(draw.uniform(0.0, np.pi / 2)),
        elevation=float(draw.uniform(0.30, 0.62)),
    )


def _random_solid(draw: np.random.Generator) -> Solid:
    shape = SHAPES[list(SHAPES)[draw.integers(len(SHAPES))]]
    scale = float(draw.uniform(0.55, 1.05))
    centre = [draw.uniform(-1.9, 1.9), shape.height * scale, draw.uniform(-1.6, 1.3)]
    rotation = _around_vertical(draw.uniform(0, 2 * np.pi))
    pattern = PATTERNS[draw.integers(len(PATTERNS))]
    return Solid(shape, np.array(centre, np.float32), rotation, scale, pattern)


def _apart(one: Solid, other: Solid) -> bool:
    across = np.hypot(*(one.centre - other.centre)[[0, 2]])
    return bool(across > (one.scale * one.shape.radius + other.scale * other.shape.radius))


def _around_vertical(angle: float) -> Floats:
    cos, sin = np.cos(angle), np.sin(angle)
    return np.array([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]], np.float32)
