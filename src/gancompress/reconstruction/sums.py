"""Sums that outputs of layers end in, such as residual streams, found in a recorded pass."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from torch import nn

from gancompress.channels import LeftOut
from gancompress.channels.recording import RecordedOp, Recording, Ref, record


@dataclass(frozen=True)
class Point:
    """A tensor of a pass, given as the first input or output tensor of a module.

    Attributes:
        module: Path of the module, which is called once.
        side: Whether it is the module's input or output.
    """

    module: str
    side: Literal["input", "output"]


@dataclass(frozen=True)
class Sum:
    """A sum ``total = scale * (output of a layer) + sum(factor * term)``.

    Attributes:
        total: Point of the total; behind the blocks that were left out right after it, whose absence the layer then
            makes up for.
        scale: Factor of the layer's output.
        terms: The other summands, each with its factor.
    """

    total: Point
    scale: float
    terms: tuple[tuple[Point, float], ...]


class Sums:
    """A recorded pass of a network, with the sums that the outputs of its layers end in."""

    def __init__(self, network: nn.Module, inputs: Sequence[Any]) -> None:
        """Record a pass, in evaluation mode and without values."""
        self._recording = record(network, inputs)
        self.calls = Counter(call.path for call in self._recording.calls)
        """Number of calls of each module, by path, in the order of the calls."""
        self._outputs = {call.path: call.output for call in self._recording.calls}
        self._points = _points(self._recording, self.calls)
        self._totals = self._points | {
            call.output.index: Point(call.path, "output")
            for call in self._recording.calls
            if isinstance(call.module, LeftOut) and call.output.index in self._points
        }
        self._readers: dict[int, list[RecordedOp]] = {}
        for op in self._recording.ops:
            for ref in set(op.inputs):
                self._readers.setdefault(ref.index, []).append(op)

    def of(self, layer: str) -> Sum | None:
        """Return the last sum that the output of a layer reaches by additions and constant factors only.

        Source: the sum is what He et al. restore in a residual unit, Channel Pruning for Accelerating Very Deep Neural
        Networks, ICCV 2017, section 3.3.
        """
        found = None
        for ref, scale, terms in self._path(self._outputs[layer]):
            points = [(self._points.get(term.index), factor) for term, factor in terms.items()]
            total = self._totals.get(ref.index)
            if terms and total is not None and all(point is not None for point, _ in points):
                found = Sum(total, scale, tuple(points))  # type: ignore[arg-type]
        return found

    def _path(self, ref: Ref) -> Iterator[tuple[Ref, float, Mapping[Ref, float]]]:
        """Follow a tensor while exactly one operation reads it and multiplies it by a constant or adds to it."""
        shape, scale, terms = self._recording.tensors[ref.index].shape, 1.0, dict[Ref, float]()
        while len(readers := self._readers.get(ref.index, [])) == 1:
            (op,) = readers
            match str(op.target):
                case "aten.mul.Tensor":
                    factor = op["other"] if op["self"] == ref else op["self"]
                    if not isinstance(factor, int | float) or not factor:
                        return
                    scale, terms = scale * factor, {term: own * factor for term, own in terms.items()}
                case "aten.add.Tensor":
                    left, right, alpha = op["self"], op["other"], op["alpha"]
                    other, factor, own = (right, alpha, 1) if left == ref else (left, 1, alpha)
                    if other == 0:  # a branch that was left out
                        (ref,) = op.outputs
                        yield ref, scale, terms
                        continue
                    if (
                        left == right
                        or not isinstance(other, Ref)
                        or self._recording.tensors[other.index].shape != shape
                    ):
                        return
                    scale, terms = scale * own, {term: each * own for term, each in terms.items()}
                    terms[other] = terms.get(other, 0.0) + factor
                case _:
                    return
            (ref,) = op.outputs
            yield ref, scale, terms


def _points(recording: Recording, calls: Mapping[str, int]) -> dict[int, Point]:
    """Return the points of tensors that no operation overwrites, by index."""
    written = {recording.tensors[ref.index].storage for op in recording.ops for ref in op.writes}
    points: dict[int, Point] = {}
    for call in recording.calls:
        if calls[call.path] == 1:
            points.setdefault(call.input.index, Point(call.path, "input"))
            points.setdefault(call.output.index, Point(call.path, "output"))
    return {index: point for index, point in points.items() if recording.tensors[index].storage not in written}
