"""Sphere tracing and shading: intersections of rays with solids, light, and the lines of the drawing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gancompress.data.scene.layout import Scene, Solid
from gancompress.data.scene.shapes import Floats

Ints = NDArray[np.int32]
Pixels = NDArray[np.uint8]

_SUBPIXELS = 2
"""Rays per pixel and axis. All locate lines; only pixels with a line average the colours of all their rays."""
_CAMERA_DISTANCE = 8.0
_FOCAL_LENGTH = 2.9
_LOOK_AT = np.array([0.0, 0.62, -0.15], np.float32)
_LIGHT = np.array([-0.52, 0.74, 0.43], np.float32) / np.float32(np.linalg.norm([-0.52, 0.74, 0.43]))
_SUN, _SKY = (np.array(colour, np.float32)[:, None] for colour in ((1.0, 0.95, 0.86), (0.42, 0.48, 0.60)))
_CREAM = np.array([0.93, 0.90, 0.82], np.float32)[:, None]
_FLOORS = {
    False: (np.array([0.62, 0.66, 0.72], np.float32), np.array([0.62, 0.66, 0.72], np.float32)),
    True: (np.array([0.82, 0.70, 0.54], np.float32), np.array([0.55, 0.36, 0.24], np.float32)),
}
_BACKDROP = {
    False: np.array([0.80, 0.84, 0.90], np.float32)[:, None],
    True: np.array([0.93, 0.86, 0.76], np.float32)[:, None],
}
_TILE = 1.5
_LAST_TILE = 13.0
"""Distance beyond which tiles are too narrow to draw."""
_HATCHING = 8
"""Distance between lines of the hatching on the floor, in line widths; half of it on solids."""
_PENUMBRA = 7.0
"""Sharpness of shadows."""


@dataclass
class Surface:
    """Intersections of n rays. ``solid`` is the number of the solid, or -1 for the floor and -2 for no surface.

    ``cell`` is the number of the patch of one colour: band, sector or tile.
    """

    point: Floats
    normal: Floats
    distance: Floats
    solid: Ints
    cell: Ints

    def at(self, rays: NDArray[np.intp]) -> Surface:
        """Return the surface at some of the rays."""
        return Surface(
            self.point[:, rays], self.normal[:, rays], self.distance[rays], self.solid[rays], self.cell[rays]
        )


def render(scene: Scene, size: int) -> tuple[Pixels, Pixels]:
    """Render the line drawing and the shaded picture of a scene.

    Args:
        scene: The scene.
        size: Height and width in pixels.

    Returns:
        Two images [size, size, 3], RGB, 0 to 255: dark lines on white, and the picture.
    """
    fine = size * _SUBPIXELS
    origin, directions = camera_rays(scene, fine)
    surface = meet(scene, origin, directions)
    strong, faint = _lines(surface, fine)
    in_pixels = np.arange(fine * fine).reshape(size, _SUBPIXELS, size, _SUBPIXELS).transpose(0, 2, 1, 3)
    rays_of_pixel = in_pixels.reshape(size * size, _SUBPIXELS**2)
    strong, faint = strong.reshape(-1)[rays_of_pixel], faint.reshape(-1)[rays_of_pixel]
    mixed = (strong | faint).any(axis=1)

    colours = np.empty((3, size * size), np.float32)
    single = rays_of_pixel[~mixed, 0]
    colours[:, ~mixed] = shade(scene, surface.at(single), directions[:, single])
    several = rays_of_pixel[mixed].reshape(-1)
    shaded = shade(scene, surface.at(several), directions[:, several])
    colours[:, mixed] = shaded.reshape(3, -1, _SUBPIXELS**2).mean(axis=2)

    ink = np.minimum(1, 1.4 * strong.mean(axis=1)) + 0.4 * faint.mean(axis=1)
    drawing = np.repeat(1 - 0.9 * ink.clip(0, 1)[None], 3, axis=0)
    return _as_pixels(drawing, size), _as_pixels(colours.clip(0, 1) ** (1 / 2.2), size)


def camera_rays(scene: Scene, size: int) -> tuple[Floats, Floats]:
    """Return the eye [3] and the directions [3, size * size] through the pixels, row by row from the top left."""
    sin, cos = np.sin(scene.elevation), np.cos(scene.elevation)
    backward, up = np.array([0, sin, cos]), np.array([0, cos, -sin])
    places = (np.arange(size, dtype=np.float32) + 0.5) / size * 2 - 1
    right, down = np.meshgrid(places, places)
    directions = (
        np.array([[1.0], [0], [0]]) * right.reshape(1, -1)
        - up[:, None] * down.reshape(1, -1)
        - backward[:, None] * _FOCAL_LENGTH
    ).astype(np.float32)
    eye = (_LOOK_AT + _CAMERA_DISTANCE * backward).astype(np.float32)
    return eye, directions / np.sqrt(np.einsum("cn,cn->n", directions, directions))


def meet(scene: Scene, origin: Floats, directions: Floats) -> Surface:
    """Return the first surface on each ray."""
    num_rays = directions.shape[1]
    with np.errstate(divide="ignore"):
        to_floor = -origin[1] / directions[1]
    distance = np.where(to_floor > 0, to_floor, np.inf).astype(np.float32)
    solid = np.where(to_floor > 0, -1, -2).astype(np.int32)
    for number, body in enumerate(scene.solids):
        rays, found = _trace(body, origin, directions)
        nearer = found < distance[rays]
        distance[rays[nearer]] = found[nearer]
        solid[rays[nearer]] = number
    point = origin[:, None] + directions * np.where(solid == -2, 0, distance)
    normal = np.zeros((3, num_rays), np.float32)
    normal[1] = 1
    cell = _tiles(scene, point) * (solid == -1)
    for number, body in enumerate(scene.solids):
        (rays,) = np.nonzero(solid == number)
        own = body.to_own(point[:, rays])
        normal[:, rays] = body.rotation.T @ _gradient(body, own)
        cell[rays] = _cells(body, own)
    return Surface(point, normal, distance, solid, cell)


def _trace(body: Solid, origin: Floats, directions: Floats) -> tuple[NDArray[np.intp], Floats]:
    """Return the rays that hit a solid, and their distances to it."""
    start = body.to_own(origin[:, None])
    own = body.to_own_directions(directions)
    towards = -(start[:, 0] @ own)
    margin = towards**2 - (start**2).sum() + body.shape.radius**2
    (rays,) = np.nonzero(margin > 0)
    own, half = own[:, rays], np.sqrt(margin[rays])
    travelled, end = towards[rays] - half, towards[rays] + half
    going = np.arange(len(rays))
    for _ in range(28):
        gap = body.shape.distance(start + own[:, going] * travelled[going])
        travelled[going] += gap
        going = going[(gap > 2e-3) & (travelled[going] < end[going])]
        if not len(going):
            break
    hit = travelled < end
    hit[going] = False
    return rays[hit], travelled[hit] * np.float32(body.scale)


def _gradient(body: Solid, own: Floats) -> Floats:
    """Return unit normals, from distances at the corners of a small tetrahedron."""
    corners = np.array([[1, -1, -1], [-1, -1, 1], [-1, 1, -1], [1, 1, 1]], np.float32)
    total = np.zeros_like(own)
    for corner in corners:
        total += corner[:, None] * body.shape.distance(own + corner[:, None] * np.float32(4e-3))
    return total / np.sqrt(np.einsum("cn,cn->n", total, total) + np.float32(1e-12))


def _cells(body: Solid, own: Floats) -> Ints:
    if body.pattern == "bands":
        return np.floor(own[1] * 2.9 + 1.5).astype(np.int32)
    if body.pattern == "sectors":
        return np.floor(np.arctan2(own[0], own[2]) * (8 / (2 * np.pi))).astype(np.int32)
    return np.zeros(own.shape[1], np.int32)


def _tiles(scene: Scene, point: Floats) -> Ints:
    if not scene.tiled:
        return np.zeros(point.shape[1], np.int32)
    cos, sin = np.float32(np.cos(scene.turn)), np.float32(np.sin(scene.turn))
    across = np.floor((cos * point[0] + sin * point[2]) / np.float32(_TILE)).clip(-20, 20)
    along = np.floor((cos * point[2] - sin * point[0]) / np.float32(_TILE)).clip(-20, 20)
    return (across + 41 * along).astype(np.int32)


def _lines(surface: Surface, size: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Find the rays on drawn lines, as two masks [size, size].

    The first has the lines of solids (outlines, creases, borders of patches), the second those of the tiles and the
    hatching of the patches with odd numbers.
    """
    solid, cell = surface.solid.reshape(size, size), surface.cell.reshape(size, size)
    normal = surface.normal.reshape(3, size, size)
    depth = np.where(solid == -2, 0, surface.distance.reshape(size, size))
    width = max(1, size // 192)
    strong, faint = np.zeros((2, size, size), bool)
    for axis in (0, 1):
        one, other = _neighbours(axis, width)
        outline = (solid[one] != solid[other]) & ((solid[one] >= 0) | (solid[other] >= 0))
        border = (cell[one] != cell[other]) & (solid[one] == solid[other])
        for found, lines in (
            (outline | border & (solid[one] >= 0), strong),
            (border & (solid[one] < 0) & (depth[one] < _LAST_TILE), faint),
        ):
            lines[one] |= found
            lines[other] |= found
        one, other = _neighbours(axis, 2 * width)
        bend = np.einsum("chw,chw->hw", normal[:, *one], normal[:, *other])
        jump = np.abs(depth[one] - depth[other]) > 0.25
        strong[one] |= (solid[one] >= 0) & (solid[one] == solid[other]) & ((bend < 0.8) | jump)
    place = np.arange(size) // width
    hatching = (place[:, None] + place[None, :]) % np.where(solid >= 0, _HATCHING // 2, _HATCHING) == 0
    faint |= hatching & (cell % 2 != 0) & (depth < _LAST_TILE)
    return strong, faint & ~strong


def _neighbours(axis: int, step: int) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Return two views of an array [h, w], shifted against each other."""
    ahead, behind = slice(step, None), slice(None, -step)
    return ((behind, slice(None)), (ahead, slice(None))) if axis == 0 else ((slice(None), behind), (slice(None), ahead))


def shade(scene: Scene, surface: Surface, directions: Floats) -> Floats:
    """Return linear RGB [3, n] at the rays: Lambert and Blinn-Phong, soft shadows, occlusion by near solids."""
    normal, light = surface.normal, _LIGHT[:, None]
    lambert = np.maximum(np.einsum("cn,cn->n", normal, np.broadcast_to(light, normal.shape)), 0)
    shadow = _shadow(scene, surface.point + normal * np.float32(0.02), lambert > 0)
    open_sky = _openness(scene, surface)
    half = light - directions
    half /= np.sqrt(np.einsum("cn,cn->n", half, half))
    solids = surface.solid >= 0
    specular = np.maximum(np.einsum("cn,cn->n", normal, half), 0) ** 48 * 0.55 * solids
    rim = (1 - np.maximum(-np.einsum("cn,cn->n", normal, directions), 0)) ** 4 * 0.25 * solids
    sky = _SKY * open_sky * (0.65 + 0.35 * normal[1])
    colour = _paint(scene, surface) * (_SUN * (lambert * shadow) * 1.05 + sky)
    colour += _SUN * (specular * shadow) + _BACKDROP[scene.tiled] * (rim * open_sky)
    distant = np.where(solids, 0, ((surface.distance - 8) / 9).clip(0, 1))
    distant[surface.solid == -2] = 1
    return colour + (_BACKDROP[scene.tiled] ** 2.2 - colour) * (distant**2 * (3 - 2 * distant))


def _paint(scene: Scene, surface: Surface) -> Floats:
    """Return the colour of the material at each point."""
    first, second = _FLOORS[scene.tiled]
    odd = surface.cell % 2 != 0
    paint = np.where(odd, second[:, None], first[:, None]) ** np.float32(1.6)
    for number, body in enumerate(scene.solids):
        here = surface.solid == number
        colour = np.array(body.shape.colour, np.float32)[:, None] ** np.float32(1.4)
        paint[:, here] = np.where(odd[here] | (body.pattern == "plain"), colour, _CREAM)
    return paint


def _shadow(scene: Scene, point: Floats, lit: NDArray[np.bool_]) -> Floats:
    """Return the share of the sun at each point, 0 to 1, from the narrowest gap on the way to it."""
    amount = np.ones(point.shape[1], np.float32)
    for body in scene.solids:
        own, light = body.to_own(point), body.to_own_directions(_LIGHT[:, None])
        towards = -(light[:, 0] @ own)
        reach = body.shape.radius + 0.35
        margin = towards**2 - np.einsum("cn,cn->n", own, own) + reach**2
        (rays,) = np.nonzero(lit & (margin > 0) & (towards + np.sqrt(np.maximum(margin, 0)) > 0))
        own, half = own[:, rays], np.sqrt(margin[rays])
        travelled = np.maximum(towards[rays] - half, 0.03)
        end = towards[rays] + half
        narrowest = np.ones(len(rays), np.float32)
        for _ in range(14):
            gap = body.shape.distance(own + light * travelled)
            inside = travelled < end
            narrowest = np.where(inside, np.minimum(narrowest, _PENUMBRA * gap / travelled), narrowest)
            travelled += gap.clip(0.04, 0.35)
        narrowest = narrowest.clip(0, 1)
        amount[rays] = np.minimum(amount[rays], narrowest * narrowest * (3 - 2 * narrowest))
    return amount


def _openness(scene: Scene, surface: Surface) -> Floats:
    """Return the share of the sky that each point sees, 0 to 1, with every solid approximated by a ball."""
    amount = np.ones(surface.point.shape[1], np.float32)
    for number, body in enumerate(scene.solids):
        away = body.centre[:, None] - surface.point
        squared = np.einsum("cn,cn->n", away, away)
        facing = np.einsum("cn,cn->n", surface.normal, away) / np.sqrt(squared)
        radius = np.float32(body.scale * min(body.shape.radius, body.shape.height + 0.2))
        hidden = np.maximum(facing * 0.8 + 0.2, 0) * np.minimum(radius**2 / squared, 1)
        amount *= 1 - 0.75 * hidden * (surface.solid != number)
    (grounded,) = np.nonzero(surface.solid >= 0)
    amount[grounded] *= 0.6 + 0.4 * (surface.point[1, grounded] / np.float32(0.8)).clip(0, 1)
    return amount


def _as_pixels(image: Floats, size: int) -> Pixels:
    return (image.reshape(3, size, size).transpose(1, 2, 0) * 255 + 0.5).astype(np.uint8)
