"""Residual blocks that can be left out whole, found in a recorded forward pass.

A block is a module that returns its input plus something: ``y = x + f(x)``. Without it the network has the same shapes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from gancompress.channels.recording import ModuleCall, Recording, Ref, record
from gancompress.channels.skeleton import copy_structure


@dataclass(frozen=True)
class Block:
    """A residual block that can be left out.

    Attributes:
        name: Path of its module.
        start: Index of its first operation in the traced pass.
        end: Index after its last one.
        input: Its input.
        output: Its output, which is its input if it is left out.
    """

    name: str
    start: int
    end: int
    input: Ref
    output: Ref


class LeftOut(nn.Module):
    """Residual block that was left out: returns its input."""

    def forward(self, x: Tensor, *_: Any, **__: Any) -> Tensor:
        """Return the first argument."""
        return x


def leave_out(module: nn.Module, blocks: Iterable[str]) -> nn.Module:
    """Replace blocks of a module by `LeftOut`, in place, and return the module.

    Raises:
        AttributeError: The module has no such submodule.
    """
    for block in blocks:
        path, _, leaf = block.rpartition(".")
        replaced = module.get_submodule(block)
        module.get_submodule(path)._modules[leaf] = LeftOut().train(replaced.training)
    return module


@contextmanager
def without_blocks(module: nn.Module, blocks: Iterable[str]) -> Iterator[None]:
    """Run a module without some of its blocks, for a while."""
    before = {block: module.get_submodule(block) for block in blocks}
    leave_out(module, before)
    try:
        yield
    finally:
        for block, replaced in before.items():
            path, _, leaf = block.rpartition(".")
            module.get_submodule(path)._modules[leaf] = replaced


def left_out_of(module: nn.Module) -> tuple[str, ...]:
    """Return the paths of the blocks that were left out of a module."""
    return tuple(path for path, each in module.named_modules() if isinstance(each, LeftOut))


def find_blocks(module: nn.Module, inputs: Sequence[Any], recording: Recording) -> dict[str, Block]:
    """Return the residual blocks that can be left out, by path in the order of the pass; outer ones follow inner ones.

    Args:
        module: The module that was recorded; one recording more for each class of block checks that it runs without.
        inputs: The inputs that it was recorded with.
        recording: The recording.
    """
    readers = Readers(module, recording)
    calls: dict[str, ModuleCall] = {}
    ends: set[Ref] = set()
    for call in recording.calls:
        # A container around a block, such as a Sequential, returns the same tensor as its last block.
        if call.path and call.output not in ends and (sums := _path_of_sums(recording, call)):
            ends.add(call.output)
            if readers.allow(call, sums):
                calls[call.path] = call
    by_class: dict[type[nn.Module], list[str]] = {}
    for path, call in calls.items():
        by_class.setdefault(type(call.module), []).append(path)
    for paths in by_class.values():
        if not _runs_without(module, inputs, recording, [calls[path] for path in paths]):
            for path in paths:
                del calls[path]
    return {path: Block(path, call.start, call.end, call.input, call.output) for path, call in calls.items()}


_SUMS = {"aten.add.Tensor", "aten.add_.Tensor", "aten.sub.Tensor", "aten.sub_.Tensor"}
_UNCHANGED = {"aten.clone.default", "aten.alias.default", "aten.detach.default", "aten.dropout.default"}


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
        elif target in _UNCHANGED:
            terms = [op.inputs[0]]
        added = path | {index} if target in _SUMS or path else path
        pending += [
            (term, index, added)
            for term in terms
            if isinstance(term, Ref) and recording.tensors[term.index].shape == shape
        ]
    return frozenset()


class Readers:
    """Uses of the tensors and modules of a recorded pass, from outside of a block."""

    def __init__(self, module: nn.Module, recording: Recording) -> None:
        self._recording = recording
        self._last_read: dict[Ref, int] = {}
        self._writes: dict[int, list[int]] = {}
        self._reads: dict[int, int] = {}
        for index, op in enumerate(recording.ops):
            for ref in op.inputs:
                self._last_read[ref] = index
                self._reads[self._storage(ref)] = index
            for ref in op.writes:
                self._writes.setdefault(self._storage(ref), []).append(index)
        self._last_read |= dict.fromkeys(recording.outputs, len(recording.ops))
        self._uses: dict[str, list[int]] = {}
        for index, op in enumerate(recording.ops):
            for ref in op.inputs:
                if name := recording.tensors[ref.index].name:
                    self._uses.setdefault(name, []).append(index)
        self._names: dict[int, list[str]] = {}
        for named in (module.named_parameters, module.named_buffers):
            for name, tensor in named(remove_duplicate=False):
                self._names.setdefault(id(tensor), []).append(name)
        self._num_calls = Counter(call.path for call in recording.calls)

    def _storage(self, ref: Ref) -> int:
        return self._recording.tensors[ref.index].storage

    def allow(self, call: ModuleCall, sums: frozenset[int], *, replaced: bool = False) -> bool:
        """Return whether nothing outside of a block depends on its inside, but on its output.

        Args:
            call: The call of the block.
            sums: Operations that may change its input in place.
            replaced: Whether another module replaces the block, instead of its input: the output has its own storage,
                and modules inside, such as an activation, may be called elsewhere too.
        """
        inside = range(call.start, call.end)
        made = {ref for index in inside for ref in self._recording.ops[index].outputs} - {call.output, call.input}
        return (
            self._num_calls[call.path] == 1
            and all(self._last_read.get(ref, 0) < call.end for ref in made)
            and self._owns_its_tensors(call.path, inside)
            and (replaced or self._owns_its_modules(call.path, inside))
            and all(i in sums for i in self._writes.get(self._storage(call.input), ()) if i in inside)
            and (replaced or self._may_share_storage(call))
        )

    def _owns_its_tensors(self, path: str, inside: range) -> bool:
        """Return whether no parameter of a block is used elsewhere too."""

        def own(name: str) -> bool:
            return name.startswith(f"{path}.")

        together = all(len({own(name) for name in names}) == 1 for names in self._names.values())
        unused = all(i in inside for name, uses in self._uses.items() if own(name) for i in uses)
        return together and unused

    def _owns_its_modules(self, path: str, inside: range) -> bool:
        """Return whether no submodule of a block is called elsewhere too."""
        calls = (call for call in self._recording.calls if call.path.startswith(f"{path}."))
        return all(inside.start <= call.start and call.end <= inside.stop for call in calls)

    def _may_share_storage(self, call: ModuleCall) -> bool:
        """Return whether the input is not read any more when the output is overwritten."""
        before, after = self._storage(call.input), self._storage(call.output)
        later = [index for index in self._writes.get(after, ()) if index >= call.end]
        return before == after or not later or self._reads.get(before, 0) <= later[0]


def _runs_without(module: nn.Module, inputs: Sequence[Any], recording: Recording, calls: Sequence[ModuleCall]) -> bool:
    """Return whether the pass without some blocks is the same one without their operations."""
    outer = [call for call in calls if not any(call.path.startswith(f"{other.path}.") for other in calls)]
    short = record(leave_out(copy_structure(module), [call.path for call in outer]), inputs)
    inside = {index for call in outer for index in range(call.start, call.end)}
    expected = [op.name for index, op in enumerate(recording.ops) if index not in inside]
    return short.failure is None and expected == [op.name for op in short.ops]
