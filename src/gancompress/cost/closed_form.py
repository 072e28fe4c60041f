"""Cost of a plan as a closed form over the channel graph: microseconds, no forward pass.

Every size in the traced pass is linear in the widths, every cost is a sum of products of sizes. Costs hold for the
input shapes that the graph was traced with.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from gancompress.channels import ChannelGraph, ChannelPlan, Extent
from gancompress.channels.recording import RecordedOp, Ref
from gancompress.cost.conventions import Macs


@dataclass(frozen=True)
class Cost:
    """Cost of a network on the inputs it was traced with.

    Attributes:
        macs: Multiply-accumulate operations, in every convention.
        parameters: Numbers in its parameters, a shared one counted once.
        parameter_bytes: Bytes of its parameters.
        peak_activation_bytes: Largest total of inputs and activations alive at once in eager mode, without parameters.
    """

    macs: Macs
    parameters: int
    parameter_bytes: int
    peak_activation_bytes: int


@dataclass(frozen=True)
class _Term:
    """Product of sizes, ``coefficient * prod(extents)``, one term of a sum."""

    coefficient: int
    extents: tuple[Extent, ...]


class _Sum:
    """Sum of terms, ready to be evaluated at many plans."""

    def __init__(self, terms: Sequence[_Term], groups: Sequence[str]) -> None:
        column = {group: i for i, group in enumerate(groups)}
        extents = [Extent(1), *dict.fromkeys(e for term in terms for e in term.extents)]
        row = {extent: i for i, extent in enumerate(extents)}
        self._constant = np.array([e.constant for e in extents], dtype=np.int64)
        self._factors = np.zeros((len(extents), len(groups)), dtype=np.int64)
        for extent, i in row.items():
            for group, factor in extent.factors:
                self._factors[i, column[group]] = factor
        longest = max((len(term.extents) for term in terms), default=0)
        self._rows = np.zeros((len(terms), longest), dtype=np.int64)
        for i, term in enumerate(terms):
            self._rows[i, : len(term.extents)] = [row[e] for e in term.extents]
        self._coefficients = np.array([term.coefficient for term in terms], dtype=np.int64)

    def each(self, widths: np.ndarray) -> np.ndarray:
        """Return the value of every term. Shape ``(terms,)``."""
        sizes = self._constant + self._factors @ widths
        return self._coefficients * sizes[self._rows].prod(axis=1)


class CostModel:
    """Cost of any plan of one graph.

    Operations and parameters in blocks that a plan leaves out cost nothing.

    Example:
        >>> cost = CostModel(graph)
        >>> cost.at(graph.uniform_plan(0.5)).macs.true
    """

    def __init__(self, graph: ChannelGraph) -> None:
        """Build the closed forms of a graph.

        Args:
            graph: The graph, traced at the input shapes of interest.
        """
        self._groups, self._blocks = tuple(graph.groups), graph.blocks
        self._layers: list[str] = []
        macs: list[tuple[_Term, _Term, _Term]] = []
        indices: list[int] = []
        for index, op in enumerate(graph.ops):
            for terms in _mac_terms(graph, op):
                self._layers.append(op.module)
                macs.append(terms)
                indices.append(index)
        self._indices = np.array(indices, dtype=np.int64)
        self._true, self._outsize, self._cheap = (_Sum([terms[i] for terms in macs], self._groups) for i in range(3))
        parameters = [name for name in graph.tensors if name in graph.parameters]
        sizes = [_Term(1, tuple(axis.extent for axis in graph.tensors[name])) for name in parameters]
        self._names, self._parameters = parameters, _Sum(sizes, self._groups)
        self._itemsizes = np.array([graph.itemsizes[name] for name in parameters], dtype=np.int64)
        self._activations = _Activations(graph)

    def at(self, plan: ChannelPlan) -> Cost:
        """Return every cost of a plan."""
        widths = self._widths(plan)
        numbers = self._parameters.each(widths)
        if plan.left_out:
            numbers *= np.array([plan.holds(name) for name in self._names])
        return Cost(
            macs=self.macs(plan),
            parameters=int(numbers.sum()),
            parameter_bytes=int(numbers @ self._itemsizes),
            peak_activation_bytes=self._activations.peak(widths, plan.left_out),
        )

    def macs(self, plan: ChannelPlan) -> Macs:
        """Return the MACs of a plan, without its other costs."""
        return Macs(*(int(values.sum()) for values in self._each(plan)))

    def layers(self, plan: ChannelPlan) -> dict[str, Macs]:
        """Return the MACs of a plan by the path of the layer that spends them, in the order of the forward pass."""
        result: dict[str, Macs] = {}
        values = zip(*(values.tolist() for values in self._each(plan)), strict=True)
        for layer, macs in zip(self._layers, values, strict=True):
            if plan.holds(layer):
                result[layer] = result.get(layer, Macs(0, 0, 0)) + Macs(*macs)
        return result

    def _widths(self, plan: ChannelPlan) -> np.ndarray:
        return np.array([plan.widths[group] for group in self._groups], dtype=np.int64)

    def _each(self, plan: ChannelPlan) -> Iterator[np.ndarray]:
        """Yield the (true, outsize, cheap layers) MACs of every term; 0 in blocks left out."""
        widths = self._widths(plan)
        runs = np.ones(len(self._indices), dtype=bool)
        for block in (self._blocks[name] for name in plan.left_out):
            runs &= ~np.isin(self._indices, list(block.ops))
        return (form.each(widths) * runs for form in (self._true, self._outsize, self._cheap))


_NOTHING = _Term(0, ())


def _mac_terms(graph: ChannelGraph, op: RecordedOp) -> Iterator[tuple[_Term, _Term, _Term]]:
    """Yield the (true, outsize, cheap layers) terms of one operation on activations."""

    def extents(ref: Ref) -> tuple[Extent, ...]:
        return graph.shapes[ref.index].extents

    out = op.outputs[0] if op.outputs else None
    if out is None or graph.shapes[out.index].weight:
        return
    kind = op.name.removeprefix("aten.")
    if kind == "convolution":
        kernel, x, y = extents(op["weight"]), extents(op["input"]), extents(out)
        at_output = _Term(1, (y[0], *y[2:], *kernel))
        yield (_Term(1, (x[0], *x[2:], *kernel)) if op["transposed"] else at_output, at_output, _NOTHING)
    elif kind in _MATRIX_PRODUCTS:
        left, right = (extents(ref) for ref in op.inputs[-2:])
        product = _Term(1, (*left, right[-1]) if len(right) > 1 else left)
        yield product, product, _NOTHING
    else:
        per_element = _cheap_macs_per_element(graph, op, kind)
        if per_element:
            yield _NOTHING, _NOTHING, _Term(per_element, extents(out))


_MATRIX_PRODUCTS = {"mm", "bmm", "mv", "dot", "addmm", "baddbmm", "addmv"}
_ONE_PER_ELEMENT = {
    "mean",
    "leaky_relu",
    "leaky_relu_",
    "avg_pool2d",
    "avg_pool3d",
    "_adaptive_avg_pool2d",
    "_adaptive_avg_pool3d",
}


def _cheap_macs_per_element(graph: ChannelGraph, op: RecordedOp, kind: str) -> int:
    """Return the MACs per output element that torchprofile counts for a cheap layer."""
    layer = graph.module_types.get(op.module, "")
    if kind == "native_batch_norm":
        is_instance_norm = op["training"] or layer.startswith("InstanceNorm")
        return int(is_instance_norm or op["weight"] is not None)
    if kind in ("native_group_norm", "native_layer_norm"):
        return int(op["weight"] is not None)
    if kind in ("mul", "mul_"):
        return int(isinstance(op["other"], Ref))
    if kind == "upsample_bilinear2d":
        return 4
    return int(kind in _ONE_PER_ELEMENT)


class _Activations:
    """Bytes of the activation storages, and those alive after each operation."""

    def __init__(self, graph: ChannelGraph) -> None:
        self._graph, self._alive = graph, [op.alive for op in graph.ops]
        self._first: dict[int, int] = {}
        """Index of the operation that made a storage."""
        for index, op in enumerate(graph.ops):
            made = {self._storage(ref) for ref in op.outputs} - {self._storage(ref) for ref in op.inputs}
            self._first = dict.fromkeys(made, index) | self._first
        self._numbers = {storage: i for i, storage in enumerate(sorted(set().union(*self._alive)))}
        first = _first_tensor_of_storage(graph)
        shapes = [graph.shapes[first[storage]] for storage in self._numbers]
        for ref in {ref for block in graph.blocks.values() for ref in block.shrunk.values()}:
            self._numbers[_size_of(ref)] = len(shapes)
            shapes.append(graph.shapes[ref.index])
        self._cached = lru_cache(maxsize=8)(self._moments)
        self._bytes = _Sum([_Term(shape.itemsize, shape.extents) for shape in shapes], tuple(graph.groups))

    def _storage(self, ref: Ref) -> int:
        return self._graph.shapes[ref.index].storage

    def peak(self, widths: np.ndarray, left_out: frozenset[str]) -> int:
        """Return the largest total of bytes alive at once."""
        return int((self._cached(left_out) @ self._bytes.each(widths)).max(initial=0))

    def _moments(self, left_out: frozenset[str]) -> np.ndarray:
        """Return the storages alive at each moment, without those of blocks left out. Shape ``(moments, storages)``."""
        blocks = [self._graph.blocks[name] for name in left_out]
        shrunk = {index: ref for block in blocks for index, ref in block.shrunk.items()}
        inside = {index for block in blocks for index in block.ops}
        kept_by: dict[int, int] = {}  # without a block, whoever holds its output holds its input
        made_by: dict[int, int] = {}  # without the branch of a sum that overwrote it, the sum is a new tensor
        for block in blocks:
            for output, given in block.passed:
                if self._storage(output) != self._storage(given):
                    kept_by[self._storage(output)] = self._storage(given)
            if block.total is not None:
                total = self._storage(self._graph.ops[block.total].outputs[0])
                made_by |= {total: block.total} if self._first.get(total) in block.ops else {}
        for index, ref in shrunk.items():
            kept_by[self._storage(self._graph.ops[index].outputs[0])] = _size_of(ref)
        gone = {storage for storage, index in self._first.items() if index in inside} - kept_by.keys()

        def held(storage: int, moment: int) -> int | None:
            while storage in kept_by:
                storage = kept_by[storage]
            return None if storage in gone and moment < made_by.get(storage, len(self._alive)) else storage

        alive = ((i, each) for i, each in enumerate(self._alive) if i not in inside or i in shrunk)
        moments = dict.fromkeys(
            frozenset(held(storage, i) for storage in each) - {None} if inside else each for i, each in alive
        )
        table = np.zeros((len(moments), len(self._numbers)), dtype=np.int64)
        for row, moment in zip(table, moments, strict=True):
            row[[self._numbers[storage] for storage in moment if storage in self._numbers]] = 1
        return table


def _size_of(ref: Ref) -> int:
    """Return the number of a storage that holds as much as a tensor, below those of the pass."""
    return -1 - ref.index


def _first_tensor_of_storage(graph: ChannelGraph) -> dict[int, int]:
    first: dict[int, int] = {}
    for i, shape in enumerate(graph.shapes):
        first.setdefault(shape.storage, i)
    return first
