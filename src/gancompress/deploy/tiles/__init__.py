"""Large images by tiles: where they lie, how far they overlap, and running them."""

from gancompress.deploy.tiles.choice import Overlap, TilePlan, Tiles, choose_tiles, known_locality
from gancompress.deploy.tiles.grid import Span, spans
from gancompress.deploy.tiles.parts import part_side, parts_of
from gancompress.deploy.tiles.probe import probe_locality
from gancompress.deploy.tiles.run import run_tiles

__all__ = [
    "Overlap",
    "Span",
    "TilePlan",
    "Tiles",
    "choose_tiles",
    "known_locality",
    "part_side",
    "parts_of",
    "probe_locality",
    "run_tiles",
    "spans",
]
