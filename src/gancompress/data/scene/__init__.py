"""Procedural scenes: a line drawing, and the shaded picture of the same solids."""

from gancompress.data.scene.layout import Scene, Solid, random_scene
from gancompress.data.scene.render import render
from gancompress.data.scene.shapes import SHAPES, Shape

__all__ = ["SHAPES", "Scene", "Shape", "Solid", "random_scene", "render"]
