"""Rules of operations that take windows of an image apart, or put them together."""

from __future__ import annotations

import numpy as np

from gancompress.channels.labels import Labelling, Labels, on_axis
from gancompress.channels.recording import RecordedOp
from gancompress.channels.rules.image import keep_off
from gancompress.channels.rules.registry import rule


@rule("im2col")
def _im2col(g: Labelling, op: RecordedOp) -> list[Labels]:
    """Repeat each channel for every tap of its window: ``[b, c, h, w]`` to ``[b, c * taps, windows]``."""
    x, ndim = op["self"], len(g.shape(op["self"]))
    atoms = g.along(x, ndim - 3)
    keep_off(g, x, [ndim - 2, ndim - 1], "lies along the image of aten.im2col")
    taps = int(np.prod(op["kernel_size"]))
    return [Labels(on_axis(None if atoms is None else np.repeat(atoms, taps), ndim - 3, ndim - 1))]


@rule("col2im")
def _col2im(g: Labelling, op: RecordedOp) -> list[Labels]:
    """Tie the taps of every channel's window, which are summed to an image."""
    x, ndim = op["self"], len(g.shape(op["self"]))
    atoms = g.along(x, ndim - 2)
    keep_off(g, x, [ndim - 1], "lies along the windows of aten.col2im")
    if atoms is None:
        return [Labels()]
    parts = atoms.reshape(-1, int(np.prod(op["kernel_size"])))
    g.tie(parts, parts[:, :1])
    return [Labels(on_axis(parts[:, 0], ndim - 2, ndim + 1))]


@rule("unfold")
def _unfold(g: Labelling, op: RecordedOp) -> list[Labels]:
    """Keep the axes off the one that windows are taken along; the positions in a window come last."""
    x = op["self"]
    axis = op["dimension"] % len(g.shape(x))
    labels = keep_off(g, x, [axis], "lies along the windows of aten.unfold")
    return [Labels(tuple(f[..., np.newaxis] for f in labels.factors if f.size > 1), labels.flexible, labels.weight)]
