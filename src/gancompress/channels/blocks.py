"""Residual blocks that can be left out whole, found in a recorded forward pass.

A block is a module that returns its input plus something, ``y = x + f(x)``, or the branch of such a sum in the code of
a module around it. Without it the network has the same shapes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from gancompress.channels.left_out import is_branch, leave_out, lies_in, modules_of, outermost
from gancompress.channels.readers import Readers
from gancompress.channels.recording import ModuleCall, RecordedOp, Recording, Ref, record
from gancompress.channels.residual_branches import find_residual_branches
from gancompress.channels.skeleton import copy_structure


@dataclass(frozen=True)
class Block:
    """A residual block that can be left out: a module, or the branch of a sum (see `gancompress.channels.left_out`).

    Attributes:
        name: Path of its module, or the name of a branch.
        ops: Indices of its operations in the traced pass, which cost nothing without it.
        passed: Outputs of its modules and their inputs, which they are if the block is left out.
        total: Index of the operation that adds a branch; None for a module.
        shrunk: Operations on what a branch adds that still run, with a tensor of the size of their output.
    """

    name: str
    ops: frozenset[int]
    passed: tuple[tuple[Ref, Ref], ...]
    total: int | None = None
    shrunk: Mapping[int, Ref] = field(default_factory=dict)


def find_blocks(module: nn.Module, inputs: Sequence[Any], recording: Recording) -> dict[str, Block]:
    """Return the residual blocks that can be left out, by name in the order of the pass; outer ones follow inner ones.

    Args:
        module: The module that was recorded; one recording more without the blocks of each level of nesting, or without
            those of a class there, checks that it runs.
        inputs: The inputs that it was recorded with.
        recording: The recording.
    """
    readers = Readers(module, recording)
    candidates: dict[str, tuple[Block, str]] = {}
    only_sums: set[int] = set()
    for call, path in _residual_calls(recording, readers):
        block = Block(call.path, frozenset(range(call.start, call.end)), ((call.output, call.input),))
        candidates[block.name] = block, type(call.module).__qualname__
        sums = [index for index in path if str(recording.ops[index].target) in _SUMS]
        only_sums.update(sums if len(sums) == 1 else ())
    for branch in find_residual_branches(recording, readers):
        partly = any(_overlap(branch.name, other) for other in candidates)
        if branch.total not in only_sums and not partly:  # else the same as a block
            *before, last = branch.calls
            passed = tuple((call.output, call.input) for call in before)
            block = Block(branch.name, branch.ops, passed, branch.total, branch.shrunk)
            owner = recording.module_types[recording.ops[branch.total].module]
            candidates[block.name] = block, f"{owner.__qualname__}+{type(last.module).__qualname__}"
    found = []
    for level in _levels(candidates):
        if _runs_without(module, inputs, recording, [block for blocks in level.values() for block in blocks]):
            found += [block for blocks in level.values() for block in blocks]
        elif len(level) > 1:
            for blocks in level.values():
                found += blocks if _runs_without(module, inputs, recording, blocks) else []
    return {block.name: block for block in sorted(found, key=lambda block: (max(block.ops), len(block.ops)))}


def _overlap(block: str, other: str) -> bool:
    """Return whether two blocks share modules, and neither lies in the other."""
    paths, others = modules_of(block), modules_of(other)
    if len(paths) == len(others) == 1 or lies_in(block, other) or lies_in(other, block):
        return False
    return any(lies_in(path, other) for path in paths) or any(lies_in(path, block) for path in others)


def _levels(candidates: Mapping[str, tuple[Block, str]]) -> Iterator[dict[str, list[Block]]]:
    """Yield blocks that do not lie in one another by their class, the outermost first, then the outermost in them."""
    left = set(candidates)
    while left:
        outer = outermost(left)
        level: dict[str, list[Block]] = {}
        for name, (block, kind) in candidates.items():
            if name in outer:
                level.setdefault(kind, []).append(block)
        yield level
        left -= outer


def _residual_calls(recording: Recording, readers: Readers) -> Iterator[tuple[ModuleCall, frozenset[int]]]:
    """Yield calls that return their input plus something and that nothing else depends on, with the path to it."""
    ends: set[Ref] = set()
    for call in recording.calls:
        # A container around a block, such as a Sequential, returns the same tensor as its last block.
        if not call.path or is_branch(call.path) or call.output in ends:
            continue
        if path := _path_of_sums(recording, call):
            ends.add(call.output)
            if readers.allow(call, path):
                yield call, path


_SUMS = {"aten.add.Tensor", "aten.add_.Tensor", "aten.sub.Tensor", "aten.sub_.Tensor"}
_UNCHANGED = {"aten.clone.default", "aten.alias.default", "aten.detach.default", "aten.dropout.default"}
_TIMES = {"aten.mul.Tensor", "aten.mul_.Tensor", "aten.div.Tensor", "aten.div_.Tensor"}


def _path_of_sums(recording: Recording, call: ModuleCall) -> frozenset[int]:
    """Return the operations that carry the input of a call to its output, unscaled; empty if there is no such path."""
    shape = recording.tensors[call.input.index].shape
    if not call.returns_tensor or recording.tensors[call.output.index].shape != shape:
        return frozenset()
    pending = [(call.output, call.end, frozenset[int]())]
    while pending:
        ref, before, path = pending.pop()
        index = next((i for i in range(before - 1, call.start - 1, -1) if ref in recording.ops[i].outputs), None)
        if index is None:
            if ref == call.input and path:
                return path
            continue
        op = recording.ops[index]
        target, terms = str(op.target), []
        if target in _SUMS:
            terms = [op["self"]]
            if target.startswith("aten.add") and op["alpha"] == 1:
                terms.append(op["other"])
        elif target in _UNCHANGED or (target in _TIMES and op["other"] == 1):
            terms = [op.inputs[0]]
        added = path | {index} if target in _SUMS or path else path
        pending += [
            (term, index, added)
            for term in terms
            if isinstance(term, Ref) and recording.tensors[term.index].shape == shape
        ]
    return frozenset()


def _runs_without(module: nn.Module, inputs: Sequence[Any], recording: Recording, blocks: Sequence[Block]) -> bool:
    """Return whether the pass without some blocks, none in another, is the same one without their operations."""
    short = record(leave_out(copy_structure(module), [block.name for block in blocks]), inputs)
    shrunk = {index: ref for block in blocks for index, ref in block.shrunk.items()}
    gone = {index for block in blocks for index in block.ops} - shrunk.keys()
    totals = {block.total for block in blocks}
    kept = [(index, op) for index, op in enumerate(recording.ops) if index not in gone]
    if short.failure is not None or len(kept) != len(short.ops):
        return False

    def result(of: Recording, op: RecordedOp, is_total: bool, outputs: tuple[Ref, ...]) -> tuple[Any, ...]:
        name = op.name.removesuffix("_") if is_total else op.name  # ``0 += x`` is a new sum
        return name, [(of.tensors[ref.index].shape, of.tensors[ref.index].itemsize) for ref in outputs]

    return all(
        result(recording, op, index in totals, (shrunk[index],) if index in shrunk else op.outputs)
        == result(short, other, index in totals, other.outputs)
        for (index, op), other in zip(kept, short.ops, strict=True)
    )
