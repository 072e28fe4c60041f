"""Sizes that a forward pass takes from elsewhere than the tensor at hand.

A view to ``(b, n, heads, c // heads)`` takes ``c`` from the width of another layer, or from an attribute of its module.
At full width that is not seen. So the module is run once more at narrower widths, and every operation returns what the
graph predicts: each size that a view, a slice or a new tensor asks for can then be compared with the predicted one.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from math import gcd
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from gancompress.channels.follow import components
from gancompress.channels.graph import ChannelGraph
from gancompress.channels.grouping import Grouping
from gancompress.channels.labels import FIXED, Fix, Labelling, SizeOf, full
from gancompress.channels.layout import Extent
from gancompress.channels.narrow import narrow_shapes
from gancompress.channels.plan import ChannelPlan
from gancompress.channels.recording import RecordedOp, Ref, in_plain_steps, on_fake_tensors, with_masks_as_numbers
from gancompress.channels.subnetwork import structure_at
from gancompress.channels.verify import different_widths

_VIEWS = ("aten.view", "aten._unsafe_view", "aten.reshape", "aten._reshape_alias")
_COPY = "aten.clone"
_MOST_ROUNDS = 12
"""Rounds after which sizes that still differ are fixed; most networks need two."""


@dataclass(frozen=True)
class _Request:
    """Size that an operation met along one axis of a tensor, other than predicted."""

    op_index: int
    ref: Ref
    axis: int
    size: int


class Sizes:
    """Explains sizes by the widths of other layers, or by attributes."""

    def __init__(self, module: nn.Module, inputs: Sequence[Any], labelling: Labelling) -> None:
        self.module, self.inputs, self.labelling = module, inputs, labelling
        self._rounds = 0

    def explain(self, grouping: Grouping) -> list[Fix] | None:
        """Tie widths that depend on one another, and note attributes that hold sizes.

        Returns:
            None if any was new; else fixes for the groups whose sizes stay unexplained.
        """
        self._rounds += 1
        late = self._rounds > _MOST_ROUNDS
        plans: list[ChannelPlan] = []
        for plan in different_widths(grouping.graph):  # in one alone, two widths may agree by chance
            requests, guesses = _requests(self.module, self.inputs, self.labelling, grouping.graph, plan)
            search = _Search(self.labelling, grouping, plan, tuple(plans))
            plans.append(plan)
            unexplained = [r for r in requests if late or not (self._attribute(r) or self._tie(r, search))]
            noted = [not late and self._attribute(r) for r in guesses]
            if len(unexplained) < len(requests) or any(noted):
                return None
            if fixes := [fix for r in unexplained if (fix := self._fix(r, grouping)) is not None]:
                return fixes
        return []

    def _fix(self, request: _Request, grouping: Grouping) -> Fix | None:
        """Return the fix of the groups that the operation meets along the axis or reads; None if there are none."""
        op, ref = self.labelling.recording.ops[request.op_index], request.ref
        met = [f for f in self.labelling[ref].factors if f.shape[request.axis] > 1]
        met += [f for read in op.inputs for f in self.labelling[read].factors]
        groups = {group for factor in met for group in grouping.groups_of(grouping.roots[factor])}
        if not groups:
            return None
        size = self.labelling.shape(ref)[request.axis]
        if request.size == size:
            reason = f"a size is written as a constant ({size} in {op.name})"
        else:
            reason = f"a narrower network would ask {op.name} for another size than its channels have"
        return grouping.conflict(groups, reason, op.module)

    def _tie(self, request: _Request, search: _Search) -> bool:
        pairs = search.origin(request)
        if pairs is None:
            return False
        self.labelling.ties.append((*pairs, request.op_index))
        return True

    def _attribute(self, request: _Request) -> bool:
        """Note the attributes of the running module that hold the size; they then follow the plan."""
        op, ref = self.labelling.recording.ops[request.op_index], request.ref
        size = self.labelling.shape(ref)[request.axis]
        if request.size != size or ref not in op.outputs:
            return False
        found = False
        for name, value in list(vars(self.module.get_submodule(op.module)).items()):
            key = (op.module, name)
            if type(value) is int and value == size and key not in self.labelling.sizes:
                self.labelling.sizes[key] = SizeOf(ref, request.axis)
                found = True
            elif isinstance(value, tuple | list) and size in value and all(type(each) is int for each in value):
                known = self.labelling.sizes.get(key, tuple(value))
                assert isinstance(known, tuple)
                if size in known:
                    at = known.index(size)
                    self.labelling.sizes[key] = (*known[:at], SizeOf(ref, request.axis), *known[at + 1 :])
                    found = True
        return found


class _Search:
    """Search for the axis whose width a size follows.

    Args:
        labelling: Labels of the recording.
        grouping: The groups read from them.
        plan: The plan at which the sizes were asked for.
        agreed: Plans before it, at which the same operations asked for the predicted sizes.
    """

    def __init__(
        self, labelling: Labelling, grouping: Grouping, plan: ChannelPlan, agreed: Sequence[ChannelPlan]
    ) -> None:
        self._labelling, self._roots, self._plan, self._agreed = labelling, grouping.roots, plan, agreed
        self._shapes = grouping.graph.shapes
        self._rows: dict[bytes, tuple[np.ndarray, Extent, list[int]]] = {}
        """By their channels: atoms of a row of channels, predicted extent, and the operations that meet it."""
        for index, op in enumerate(labelling.recording.ops):
            for ref in (*op.inputs, *op.outputs):
                for axis, extent in enumerate(self._shapes[ref.index].extents):
                    if extent.factors and (atoms := self._atoms(ref, axis)) is not None:
                        row = self._rows.setdefault(self._roots[atoms].tobytes(), (atoms, extent, []))
                        row[2].append(index)

    def origin(self, request: _Request) -> tuple[np.ndarray, np.ndarray] | None:
        """Return atoms to tie, those of the size and those that it follows; None if no axis explains it.

        Axes that explain it at every plan come first, then multiples and parts before other ratios, and then the
        nearest earlier operation: code reads its sizes from the tensors at hand.
        """
        own = self._atoms(request.ref, request.axis)
        if own is None:
            return None
        predicted = self._shapes[request.ref.index].extents[request.axis]
        met = [(predicted.at(plan.widths), plan) for plan in self._agreed]
        found = []
        for other, extent, uses in self._rows.values():
            rank = _follows(request.size, own.size, extent.at(self._plan.widths), other.size)
            nearest = bisect_right(uses, request.op_index)
            if rank is not None and nearest > 0:
                chance = any(_follows(size, own.size, extent.at(p.widths), other.size) is None for size, p in met)
                found.append((chance, rank, -uses[nearest - 1], other))
        for *_, other in sorted(found, key=lambda entry: entry[:3]):
            length = gcd(own.size, other.size)
            a, b = (x.ravel() for x in np.broadcast_arrays(own.reshape(-1, 1, length), other.reshape(1, -1, length)))
            if (self._roots[a] != self._roots[b]).any() and self._leaves_channels(self._roots[a], self._roots[b]):
                return a, b
        return None

    @staticmethod
    def _leaves_channels(a: np.ndarray, b: np.ndarray) -> bool:
        """Return whether two rows keep enough channels for a group once they are tied. Fixed ones may stay fixed."""
        if FIXED in a or FIXED in b:
            return True
        channels, numbers = np.unique(np.concatenate([a, b]), return_inverse=True)
        return np.unique(components(channels.size, [(numbers[: a.size], numbers[a.size :])])).size > 2

    def _atoms(self, ref: Ref, axis: int) -> np.ndarray | None:
        """Return the atoms along one axis; None if no channels lie there."""
        for factor in self._labelling[ref].factors:
            if factor.shape[axis] > 1:
                row = factor[tuple(slice(None) if a == axis else 0 for a in range(factor.ndim))]
                return full(row, 0, self._labelling.shape(ref)[axis])
        return None


def _follows(size: int, own: int, width: int, full: int) -> int | None:
    """Return how a size that is ``own`` at full width can be computed from a width that is ``full`` there.

    Returns:
        0 for a multiple or a part of it, 1 for another ratio (``c * 3 // 2``), None if it cannot.
    """
    if size != width * own // full:
        return None
    common = gcd(own, full)
    return 0 if common in (own, full) else 1 if common > 2 else None


def _requests(
    module: nn.Module, inputs: Sequence[Any], labelling: Labelling, graph: ChannelGraph, plan: ChannelPlan
) -> tuple[list[_Request], list[_Request]]:
    """Run the module at a plan, every operation returning the predicted shapes.

    Returns:
        The sizes that differ from the predicted ones, and sizes that may have made the module raise an exception.
    """
    structure, tensors, fake_inputs, fake_mode = on_fake_tensors(
        structure_at(module, graph, plan), inputs, narrow_shapes(graph, plan)
    )
    predicted = _Predicted(labelling, graph, plan)
    fake = torch.inference_mode(False), torch.no_grad(), fake_mode, predicted, _Reshapes(predicted)
    try:  # it runs as far as it can be predicted
        with in_plain_steps(), ExitStack() as stack:
            for mode in fake:
                stack.enter_context(mode)
            torch.func.functional_call(structure, tensors, fake_inputs)
    except _Diverged:
        pass
    except Exception:
        return predicted.requests, predicted.next_sizes()
    return predicted.requests, []


class _Diverged(Exception):
    """The pass took another step than the recorded one."""


class _Predicted(TorchDispatchMode):
    """Dispatch mode whose operations return tensors of the predicted shapes."""

    def __init__(self, labelling: Labelling, graph: ChannelGraph, plan: ChannelPlan) -> None:
        super().__init__()
        self.requests: list[_Request] = []
        self.ops = labelling.recording.ops
        self.op_index = 0
        self._graph, self._plan, self._labelling = graph, plan, labelling

    def shape(self, ref: Ref, got: Sequence[int]) -> tuple[int, ...]:
        """Return the predicted shape of a tensor; an axis of unknown size is taken as it is."""
        unknown = {axis for axis, atoms in self._labelling[ref].flexible.items() if atoms is None}
        extents = self._graph.shapes[ref.index].extents
        return tuple(
            got[axis] if axis in unknown and axis < len(got) else extent.at(self._plan.widths)
            for axis, extent in enumerate(extents)
        )

    def ask(self, op_index: int, ref: Ref, sizes: Sequence[int]) -> tuple[int, ...]:
        """Note the sizes that differ from the predicted ones, which are returned."""
        predicted = self.shape(ref, sizes)
        if len(sizes) == len(predicted):
            for axis, (size, expected) in enumerate(zip(sizes, predicted, strict=True)):
                if size not in (expected, -1):
                    self.requests.append(_Request(op_index, ref, axis, int(size)))
        return predicted

    def next_sizes(self) -> list[_Request]:
        """Return the sizes at full width of the next view, and of the same view in modules of the same class.

        Code that checks sizes before it reshapes (einops) fails above the dispatcher. Modules of one class fail alike.
        """
        views: dict[str, list[int]] = {}
        for index, op in enumerate(self.ops):
            if op.name in _VIEWS:
                views.setdefault(op.module, []).append(index)
        module = self.ops[self.op_index].module if self.op_index < len(self.ops) else ""
        if self.op_index not in views.get(module, []):
            return []
        types, number = self._labelling.recording.module_types, views[module].index(self.op_index)
        found = _Predicted(self._labelling, self._graph, self._plan)
        for path, indices in views.items():
            if types.get(path) is types.get(module) and number < len(indices):
                ref = self.ops[indices[number]].outputs[0]
                found.ask(indices[number], ref, self._labelling.shape(ref))
        return found.requests

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func.namespace == "prim":
            return func(*args, **kwargs)
        args = with_masks_as_numbers(func, args)
        index = self._recorded(str(func.overloadpacket))
        if index is None:
            return func(*args, **kwargs)
        op = self.ops[index]
        given = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        for ref, tensor in zip(op.inputs, given, strict=False):
            self.ask(index, ref, tensor.shape)  # a weight that the module has replaced
        try:
            result = func(*args, **kwargs)
        except RuntimeError:
            result = None
        if op.name in _VIEWS:
            self.ask(index, op.outputs[0], args[1])
        elif op.name == "aten.split_with_sizes":
            axis = (args[2] if len(args) > 2 else 0) % args[0].ndim
            for ref, size in zip(op.outputs, args[1], strict=True):
                self.ask(index, ref, [size if a == axis else -1 for a in range(args[0].ndim)])
        return self._as_predicted(op, index, given, result)

    def _recorded(self, name: str) -> int | None:
        """Return the number of the recorded operation that an operation repeats; None for a copy of its own.

        Predicted tensors are contiguous, so a reshape or a call of ``contiguous`` may copy where it did not, or need
        no copy where it did.
        """
        kind = _VIEWS if name in _VIEWS else (name,)
        for index in range(self.op_index, len(self.ops)):
            if self.ops[index].name in kind:
                self.op_index = index + 1
                return index
            if self.ops[index].name != _COPY:
                break
        if name == _COPY:
            return None
        raise _Diverged

    def _as_predicted(self, op: RecordedOp, index: int, given: list[Tensor], result: Any) -> Any:
        got = [leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor)]
        shapes = [self.shape(ref, got[i].shape if got else ()) for i, ref in enumerate(op.outputs)]
        if got and [tuple(t.shape) for t in got] == shapes:
            return result
        if op.writes:
            return given[0]
        if got and op.name not in (*_VIEWS, "aten.split_with_sizes"):
            for ref, tensor in zip(op.outputs, got, strict=True):
                self.ask(index, ref, tensor.shape)
        like = got or given[:1] * len(shapes)
        new = [torch.empty(shape, dtype=t.dtype, device=t.device) for shape, t in zip(shapes, like, strict=True)]
        if isinstance(result, list):
            return new
        return new[0] if isinstance(result, Tensor) or len(new) == 1 else tuple(new)


class _Reshapes(TorchFunctionMode):
    """Function mode that reshapes as predicted: sizes that do not fit would fail above the dispatcher."""

    def __init__(self, predicted: _Predicted) -> None:
        super().__init__()
        self._predicted = predicted

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in (torch.Tensor.unflatten, torch.unflatten):
            x, dim, sizes = args if len(args) == 3 else (args[0], kwargs["dim"], kwargs["sizes"])
            asked = (*x.shape[: dim % x.dim()], *sizes, *x.shape[dim % x.dim() + 1 :])
        elif func in (torch.Tensor.reshape, torch.reshape):
            asked = kwargs.get("shape", args[1] if len(args) == 2 and not isinstance(args[1], int) else args[1:])
        else:
            return func(*args, **kwargs)
        ops, index = self._predicted.ops, self._predicted.op_index
        view = next((i for i in range(index, min(index + 2, len(ops))) if ops[i].name in _VIEWS), None)
        if view is None:
            return func(*args, **kwargs)
        return args[0].reshape(self._predicted.ask(view, ops[view].outputs[0], tuple(asked)))
