"""Branches of residual sums in the code around modules, found in a recorded forward pass.

Such a sum is ``x + f(x)`` where no module returns it: a loop over blocks, or attention and what follows it in one
forward. Its branch is what computes ``f(x)`` and nothing else.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from torch import nn

from gancompress.channels.left_out import BRANCH, branch_name
from gancompress.channels.readers import Readers
from gancompress.channels.recording import ModuleCall, RecordedOp, Recording, Ref


@dataclass(frozen=True)
class ResidualBranch:
    """Branch of a residual sum.

    Attributes:
        owner: Path of the module that adds it, or of the network.
        calls: Calls of its modules, in their order; what the last one returns is added, times factors.
        ops: Indices of the operations that do not run if the modules but the last return their input, and it 0.
        shrunk: Operations among them that still run, on the number 0 and a factor, whose size they then have.
        total: Index of the operation that adds it.
    """

    owner: str
    calls: tuple[ModuleCall, ...]
    ops: frozenset[int]
    shrunk: Mapping[int, Ref]
    total: int

    @property
    def name(self) -> str:
        """Name of the block; see `gancompress.channels.left_out`."""
        return branch_name(self.owner, [call.path for call in self.calls])


def find_residual_branches(recording: Recording, readers: Readers) -> Iterator[ResidualBranch]:
    """Yield the branches of residual sums whose cost is that of modules, in the order of the sums.

    Args:
        recording: The recording.
        readers: Uses of its tensors and modules.
    """
    flow = _Flow(recording, readers)
    for total, op in enumerate(recording.ops):
        for stream, term in _summands(recording, op):
            ops = flow.only_for(term, total)
            if not ops or not flow.depends(term, stream):
                continue
            added = flow.added(term, total, ops)
            if added is None:
                continue
            calls = flow.calls_within(ops, added.call)
            gone = {index for call in calls for index in range(call.start, call.end)} | added.factors.keys()
            # What still runs must not change what a module left out now passes on.
            changes = any(recording.ops[index].writes for index in ops - gone)
            if gone and not changes and any(_holds_weights(call.module) for call in calls):
                shrunk = {index: ref for index, ref in added.factors.items() if ref is not None}
                inside = all(not op.module or call.path.startswith(f"{op.module}.") for call in calls)
                owner = op.module if inside else ""
                yield ResidualBranch(owner, tuple(calls), frozenset(gone), shrunk, total)


_ADDITIONS = {"aten.add.Tensor", "aten.add_.Tensor"}
_SUBTRACTIONS = {"aten.sub.Tensor", "aten.sub_.Tensor"}


def _summands(recording: Recording, op: RecordedOp) -> Iterator[tuple[Ref, Ref]]:
    """Yield what a sum may be without one of its terms, and that term."""
    if str(op.target) not in _ADDITIONS | _SUBTRACTIONS or not isinstance(op["other"], Ref):
        return
    left, right = op["self"], op["other"]
    if left == right or len({recording.tensors[ref.index].shape for ref in (left, right, *op.outputs)}) > 1:
        return
    yield left, right
    if str(op.target) in _ADDITIONS and op["alpha"] == 1:
        yield right, left


def _factors(op: RecordedOp) -> Iterator[tuple[Ref, Ref | None]]:
    """Yield what an operation multiplies by a number or another tensor, and that tensor."""
    match str(op.target):
        case "aten.neg.default":
            yield op["self"], None
        case "aten.mul.Tensor" if isinstance(op["other"], Ref):
            yield op["self"], op["other"]
            yield op["other"], op["self"]
        case "aten.mul.Tensor" | "aten.div.Tensor" if not isinstance(op["other"], Ref):
            yield op["self"], None


@dataclass(frozen=True)
class _Added:
    """Call whose output a sum adds, and the operations that multiply it, with the tensor whose size they then have."""

    call: ModuleCall
    factors: Mapping[int, Ref | None]

    def times(self, index: int, factor: Ref | None) -> _Added | None:
        """Return the same multiplied once more; None by a second tensor."""
        before = next((ref for ref in self.factors.values() if ref is not None), None)
        if before is not None and factor is not None:
            return None
        return _Added(self.call, {**self.factors, index: factor if before is None else before})


class _Flow:
    """Operations that make and read the tensors of a recorded pass."""

    def __init__(self, recording: Recording, readers: Readers) -> None:
        self._recording, self._outside = recording, readers
        self._readers: dict[Ref, list[int]] = {}
        self._makers: dict[Ref, list[int]] = {}
        self._first: dict[int, int] = {}
        self._calls: dict[Ref, list[ModuleCall]] = {}
        for index, op in enumerate(recording.ops):
            for ref in op.inputs:
                self._readers.setdefault(ref, []).append(index)
            for ref in op.outputs:
                self._makers.setdefault(ref, []).append(index)
                self._first.setdefault(recording.tensors[ref.index].storage, index)
        for call in recording.calls:
            if call.path and call.returns_tensor and BRANCH not in call.path:
                self._calls.setdefault(call.output, []).append(call)

    def only_for(self, term: Ref, total: int) -> frozenset[int]:
        """Return the operations that nothing needs but a term of a sum; none if they change other tensors in place."""
        ops, found = self._recording.ops, set[int]()
        in_place = term in ops[total].outputs  # the sum overwrites the term, and is read later

        def needed_elsewhere(ref: Ref, after: int) -> bool:
            readers = (reader for reader in self._readers.get(ref, ()) if reader > after and reader not in found)
            if ref == term:
                readers = (reader for reader in readers if reader != total and not (in_place and reader > total))
            return any(True for _ in readers) or (ref in self._recording.outputs and not (ref == term and in_place))

        pending = [-maker for maker in self._makers.get(term, ()) if maker < total]
        heapq.heapify(pending)
        seen = set(pending)
        while pending:  # backwards, so that all readers of a tensor come before what makes it
            index = -heapq.heappop(pending)
            if any(needed_elsewhere(ref, index) for ref in ops[index].outputs):
                continue
            found.add(index)
            makers = {-maker for ref in ops[index].inputs for maker in self._makers.get(ref, ()) if maker < index}
            for maker in makers - seen:
                heapq.heappush(pending, maker)
            seen |= makers
        written = {self._recording.tensors[ref.index].storage for index in found for ref in ops[index].writes}
        return frozenset(found) if all(self._first.get(storage) in found for storage in written) else frozenset()

    def depends(self, ref: Ref, other: Ref) -> bool:
        """Return whether a tensor is computed from another one."""
        start = min(self._makers.get(other, (-1,)))
        pending, seen = [ref], {ref}
        while pending:
            for maker in self._makers.get(pending.pop(), ()):
                inputs = self._recording.ops[maker].inputs
                if other in inputs:
                    return True
                if maker > start:
                    pending += set(inputs) - seen
                    seen.update(inputs)
        return False

    def added(self, term: Ref, total: int, ops: frozenset[int]) -> _Added | None:
        """Return the call whose output is a term of a sum, or a multiple of it; of several calls the outermost.

        Args:
            term: The term.
            total: Index of the operation that reads it.
            ops: Operations that nothing needs but the term.
        """
        for call in reversed(self._calls.get(term, [])):
            if call.end <= total and self._lies_in(call, ops) and self._outside.allow(call, frozenset(), replaced=True):
                return _Added(call, {})
            if call.input == term and type(call.module) is not nn.Identity:
                return None  # it would get the number 0, which only an identity takes in training as well
        makers = [index for index in self._makers.get(term, ()) if index in ops]
        if len(makers) != 1:
            return None
        tensors = self._recording.tensors
        for multiplied, factor in _factors(self._recording.ops[makers[0]]):
            if tensors[multiplied.index].shape == tensors[term.index].shape:
                found = self.added(multiplied, makers[0], ops)
                if found is not None:
                    return found.times(makers[0], factor)
        return None

    def calls_within(self, ops: frozenset[int], last: ModuleCall) -> list[ModuleCall]:
        """Return the outermost calls of some operations that may return their input instead, and the last one."""
        found: list[ModuleCall] = []
        every = (call for calls in self._calls.values() for call in calls)
        first = min(ops)
        before = (call for call in every if first <= call.start < call.end <= last.end)
        for call in sorted(before, key=lambda call: (call.start, -call.end)):
            outer = (not found or found[-1].end <= call.start) and not last.start <= call.start < last.end
            if outer and self._lies_in(call, ops) and self._outside.allow(call, frozenset()):
                found.append(call)
        return [*found, last]

    def _lies_in(self, call: ModuleCall, ops: frozenset[int]) -> bool:
        """Return whether all operations of a call are among some, but those that nothing outside of it reads."""
        inside = range(call.start, call.end)
        rest = (self._recording.ops[index] for index in inside if index not in ops)
        return all(
            not op.writes and all(reader in inside for ref in op.outputs for reader in self._readers.get(ref, ()))
            for op in rest
        )


def _holds_weights(module: nn.Module) -> bool:
    return next(module.parameters(), None) is not None
