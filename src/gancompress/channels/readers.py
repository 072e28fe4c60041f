"""Uses of the tensors and modules of a recorded pass, from outside of a block."""

from __future__ import annotations

from collections import Counter

from torch import nn

from gancompress.channels.recording import ModuleCall, Recording, Ref


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
