from __future__ import annotations

import numpy as np
import pytest

from gancompress.data import parse_data
from gancompress.data.scene import SHAPES, Scene, Solid, random_scene, render
from gancompress.data.scene.render import camera_rays, meet

SPHERE = SHAPES["sphere"]


def scene_of(*solids: Solid, tiled: bool = False) -> Scene:
    return Scene(solids, tiled=tiled, turn=0.3, elevation=0.45)


def ball(x: float = 0.0, y: float = 0.9, z: float = 0.0, scale: float = 1.0, pattern: str = "plain") -> Solid:
    return Solid(SPHERE, np.array([x, y, z], np.float32), np.eye(3, dtype=np.float32), scale, pattern)


@pytest.mark.parametrize("name", SHAPES)
def test_distances_never_overshoot(name: str) -> None:
    """A distance changes at most as fast as the point moves, or sphere tracing would jump through the surface."""
    shape, draw = SHAPES[name], np.random.default_rng(0)
    one = draw.uniform(-2, 2, (3, 4000)).astype(np.float32)
    other = one + draw.normal(scale=0.1, size=one.shape).astype(np.float32)
    moved = np.linalg.norm(one - other, axis=0)
    assert (np.abs(shape.distance(one) - shape.distance(other)) <= moved * 1.001 + 1e-6).all()


@pytest.mark.parametrize("name", SHAPES)
def test_stated_radius_and_height(name: str) -> None:
    shape = SHAPES[name]
    anywhere = np.random.default_rng(0).uniform(-1.4, 1.4, (3, 60_000))
    downwards = np.array([[0.0], [-1.4], [0]]) * np.linspace(0, 1, 500)
    points = np.concatenate([anywhere, downwards], axis=1).astype(np.float32)
    inside = points[:, shape.distance(points) < 0]
    reach = np.linalg.norm(inside, axis=0).max()
    assert reach <= shape.radius + 1e-6
    assert reach == pytest.approx(shape.radius, abs=0.12)
    assert inside[1].min() == pytest.approx(-shape.height, abs=0.06)


def test_rays_meet_a_sphere_where_the_formula_says() -> None:
    body = ball(0.3, 0.8, 0.2, scale=0.9)
    scene = scene_of(body)
    eye, directions = camera_rays(scene, 48)
    found = meet(scene, eye, directions)
    offset = eye - body.centre
    half = directions.T @ offset
    under_root = half**2 - (offset @ offset - (SPHERE.radius * body.scale) ** 2)
    expected = np.where(under_root > 0, -half - np.sqrt(np.maximum(under_root, 0)), np.inf)
    sure = np.abs(under_root) > 0.02
    np.testing.assert_array_equal((found.solid == 0)[sure], np.isfinite(expected)[sure])
    hit = (found.solid == 0) & sure
    np.testing.assert_allclose(found.distance[hit], expected[hit], atol=0.01)
    outward = (found.point - body.centre[:, None])[:, hit]
    np.testing.assert_allclose(found.normal[:, hit], outward / np.linalg.norm(outward, axis=0), atol=0.02)


@pytest.mark.parametrize("near", [0, 1])
def test_nearer_solids_hide_farther_ones(near: int) -> None:
    solids = [ball(z=-1.5), ball(z=-1.5)]
    solids[near] = ball(z=1.0)
    found = meet(scene_of(*solids), *camera_rays(scene_of(), 32))
    alone = meet(scene_of(solids[near]), *camera_rays(scene_of(), 32))
    np.testing.assert_array_equal(found.solid == near, alone.solid == 0)
    assert (found.solid == 1 - near).any()


@pytest.mark.parametrize("name", SHAPES)
def test_normals_are_the_way_that_distance_grows(name: str) -> None:
    angle = 0.7
    turn = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]], np.float32)
    body = Solid(SHAPES[name], np.array([0.2, 0.8, 0.1], np.float32), turn, 0.8, "plain")
    found = meet(scene_of(body), *camera_rays(scene_of(), 48))
    (rays,) = np.nonzero(found.solid == 0)
    point = found.point[:, rays].astype(np.float64)
    steps = 1e-3 * np.eye(3)[:, :, None]
    slopes = [
        body.shape.distance(body.to_own(point + step)) - body.shape.distance(body.to_own(point - step))
        for step in steps
    ]
    expected = np.stack(slopes) / np.linalg.norm(slopes, axis=0)
    close = np.abs(found.normal[:, rays] - expected).max(axis=0) < 0.05
    assert close.mean() > 0.93


def test_a_sphere_is_lit_from_its_side_and_throws_a_shadow() -> None:
    _, with_ball = render(scene_of(ball()), 64)
    _, without = render(scene_of(ball(y=-5.0)), 64)
    found = meet(scene_of(ball()), *camera_rays(scene_of(ball()), 64)).solid.reshape(64, 64)
    brightness = with_ball.astype(float).sum(axis=2)
    columns = np.nonzero(found == 0)[1]
    left, right = brightness[:, : int(columns.mean())], brightness[:, int(columns.mean()) :]
    ball_left, ball_right = found[:, : left.shape[1]] == 0, found[:, left.shape[1] :] == 0
    assert left[ball_left].mean() > right[ball_right].mean() + 60
    darker = without.astype(float).sum(axis=2) - brightness
    floor = found == -1
    assert (darker[floor] > 100).sum() > 40
    assert darker[floor].min() > -30


def test_lines_are_where_the_outline_is() -> None:
    scene = scene_of(ball())
    drawing, _ = render(scene, 64)
    inside = meet(scene, *camera_rays(scene, 64)).solid.reshape(64, 64) == 0
    rim = np.zeros_like(inside)
    for axis in (0, 1):
        differs = np.diff(inside, axis=axis)
        rim |= np.pad(differs, [(0, 1), (0, 0)] if axis == 0 else [(0, 0), (0, 1)])
    assert drawing[rim].mean() < 150
    far = ~(rim | np.roll(rim, 1, 0) | np.roll(rim, -1, 0) | np.roll(rim, 1, 1) | np.roll(rim, -1, 1))
    far &= ~(np.roll(rim, 2, 0) | np.roll(rim, 2, 1))
    assert drawing[far].min() == 255


@pytest.mark.parametrize(("pattern", "tiled"), [("bands", False), ("sectors", False), ("plain", True)])
def test_what_has_two_colours_shows_in_the_drawing(pattern: str, tiled: bool) -> None:
    plain, _ = render(scene_of(ball()), 64)
    drawing, _ = render(scene_of(ball(pattern=pattern), tiled=tiled), 64)
    assert drawing.mean() < plain.mean() - 2


@pytest.mark.parametrize("size", [16, 64, 100, 256])
def test_sizes_show_the_same_scene(size: int) -> None:
    scene = random_scene(np.random.default_rng(3))
    drawing, picture = render(scene, size)
    assert drawing.shape == picture.shape == (size, size, 3)
    assert drawing.dtype == picture.dtype == np.uint8
    _, reference = render(scene, 48)
    np.testing.assert_allclose(picture.mean(axis=(0, 1)), reference.mean(axis=(0, 1)), atol=4)


def test_solids_stand_on_the_floor_and_apart() -> None:
    for seed in range(60):
        scene = random_scene(np.random.default_rng(seed))
        assert 1 <= len(scene.solids) <= 4
        eye, directions = camera_rays(scene, 64)
        assert len(set(meet(scene, eye, directions).solid) & set(range(4))) >= 1
        points = np.random.default_rng(0).uniform([-3, -0.5, -3], [3, 3, 3], (20_000, 3)).T.astype(np.float32)
        inside = np.array([solid.shape.distance(solid.to_own(points)) < 0 for solid in scene.solids])
        assert inside.sum(axis=0).max() <= 1
        assert points[1, inside.any(axis=0)].min() > -0.01


def test_data_set_is_deterministic_and_its_splits_differ() -> None:
    config = {"kind": "procedural", "image_size": 24, "num_images": {"train": 3, "test": 3}}
    first, again = parse_data(config).open("train"), parse_data(config).open("train")
    assert all(first[n]["target"].equal(again[n]["target"]) for n in range(3))
    test, other = parse_data(config).open("test"), parse_data({**config, "seed": 1}).open("train")
    pictures = [dataset[n]["target"] for dataset in (first, test, other) for n in range(3)]
    assert len({picture.double().sum().item() for picture in pictures}) == 9
    assert first[2]["name"] == "train-000002"


def test_data_set_through_the_cache(tmp_path: object) -> None:
    config = {"kind": "procedural", "image_size": 24, "num_images": {"train": 2}}
    plain = parse_data(config).open("train")
    for _ in range(2):
        cached = parse_data({**config, "cache": {"directory": str(tmp_path)}}).open("train")
        assert all(cached[n][role].equal(plain[n][role]) for n in range(2) for role in ("input", "target"))
