"""Rules of Fourier transforms and complex numbers."""

from __future__ import annotations

import numpy as np

from gancompress.channels.labels import Labelling, Labels
from gancompress.channels.recording import RecordedOp
from gancompress.channels.rules.elementwise import elementwise
from gancompress.channels.rules.image import keep_off
from gancompress.channels.rules.movement import move_factors
from gancompress.channels.rules.registry import rule


@rule("_fft_r2c", "_fft_c2r", "_fft_c2c")
def _transform(g: Labelling, op: RecordedOp) -> list[Labels]:
    """Keep the axes that are not transformed."""
    x = op["self"]
    dims = [dim % len(g.shape(x)) for dim in op["dim"]]
    return [keep_off(g, x, dims, f"lies along a transformed axis of {op.name}", unfollowed=False)]


@rule("complex", "polar")
def _complex(g: Labelling, op: RecordedOp) -> list[Labels]:
    return elementwise(g, op)


@rule("view_as_real")
def _view_as_real(g: Labelling, op: RecordedOp) -> list[Labels]:
    return [move_factors(g, op["self"], lambda f: f[..., np.newaxis], g[op["self"]].flexible)]


@rule("view_as_complex")
def _view_as_complex(g: Labelling, op: RecordedOp) -> list[Labels]:
    x = op["self"]
    last = len(g.shape(x)) - 1
    labels = keep_off(g, x, [last], "is the real or imaginary part of a number", unfollowed=False)
    flexible = {axis: atoms for axis, atoms in labels.flexible.items() if axis != last}
    return [Labels(tuple(f[..., 0] for f in labels.factors if f.size > 1), flexible, labels.weight)]


@rule("real", "imag", "_conj", "_conj_physical", "conj", "resolve_conj", "_neg_view")
def _same(g: Labelling, op: RecordedOp) -> list[Labels]:
    return [g[op["self"]]]
