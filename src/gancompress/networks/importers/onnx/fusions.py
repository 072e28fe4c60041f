"""Layers that exporters write as several ONNX nodes, recognised and put together again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from gancompress.networks.importers.onnx.node import Node


class _Pattern:
    """Nodes of a graph with the way from a value to the one node that takes it."""

    def __init__(self, nodes: Sequence[Node], outputs: Sequence[str], known: Mapping[str, Any]) -> None:
        self.known = known
        self._takers: dict[str, list[Node]] = {name: [] for name in outputs}
        self._outputs = set(outputs)
        for node in nodes:
            for name in node.inputs:
                self._takers.setdefault(name, []).append(node)

    def behind(self, node: Node | None, operator: str) -> Node | None:
        """Return the node behind a node, if it is the only one and has this operator."""
        if node is None or node.outputs[0] in self._outputs:
            return None
        takers = self._takers.get(node.outputs[0], [])
        return takers[0] if len(takers) == 1 and takers[0].operator == operator else None

    def constant(self, node: Node | None) -> Tensor | None:
        """Return the input of a node of two inputs that is known."""
        found = None if node is None else next((self.known[name] for name in node.inputs if name in self.known), None)
        return None if found is None else torch.as_tensor(found)


def fused(nodes: Sequence[Node], outputs: Sequence[str], known: Mapping[str, Any]) -> list[Node]:
    """Return the nodes with patterns in place of their parts: linear layers with bias, group norms and pixel shuffles.

    Args:
        nodes: The nodes in order.
        outputs: Outputs of the graph.
        known: Constants by name.
    """
    pattern = _Pattern(nodes, outputs, known)
    made: dict[int, Node] = {}
    gone: set[int] = set()
    for node in nodes:
        for match in (_group_norm, _linear, _shuffle):
            found = match(node, pattern) if id(node) not in gone else None
            if found is not None:
                whole, parts = found
                # In the place of the last part, where everything that it takes is there.
                made[id(parts[-1])] = whole
                gone.update(id(part) for part in parts)
    return [made.get(id(node), node) for node in nodes if id(node) in made or id(node) not in gone]


def _linear(node: Node, pattern: _Pattern) -> tuple[Node, list[Node]] | None:
    """Match ``MatMul(x, W) + b``."""
    weight = pattern.known.get(node.input(1)) if node.operator == "MatMul" else None
    add = pattern.behind(node, "Add")
    bias = pattern.constant(add)
    if not isinstance(weight, Tensor) or weight.ndim != 2 or add is None or bias is None:
        return None
    if bias.shape != weight.shape[1:]:
        return None
    return replace(node, outputs=add.outputs, attributes={**node.attributes, "bias": bias.float()}), [node, add]


def _group_norm(node: Node, pattern: _Pattern) -> tuple[Node, list[Node]] | None:
    """Match reshape to groups, instance norm, reshape back, and optionally a scale and a shift for each channel."""
    groups = pattern.known.get(node.input(1)) if node.operator == "Reshape" else None
    norm = pattern.behind(node, "InstanceNormalization")
    back = pattern.behind(norm, "Reshape")
    if not isinstance(groups, list) or len(groups) != 3 or groups[0] not in (0, 1) or norm is None or back is None:
        return None
    scale, shift = (torch.as_tensor(pattern.known.get(norm.input(i), [0.0])) for i in (1, 2))
    if not ((scale == 1).all() and (shift == 0).all()):
        return None
    parts = [node, norm, back]
    mul = pattern.behind(back, "Mul")
    add = pattern.behind(mul, "Add")
    weight, bias = pattern.constant(mul), pattern.constant(add)
    if mul is None or add is None or weight is None or bias is None or weight.numel() != bias.numel():
        return None
    if weight.numel() % groups[1] or weight.numel() != max(weight.shape):
        return None
    parts += [mul, add]
    names = tuple(next(name for name in each.inputs if name in pattern.known) for each in (mul, add))
    attributes = {"num_groups": groups[1], "epsilon": norm.get("epsilon", 1e-5), "channels": weight.numel()}
    whole = Node("GroupNormalization", (node.input(0), *names), add.outputs, attributes, norm.name)
    return whole, parts


_SHUFFLES = {(0, 1, 4, 2, 5, 3): ("DepthToSpace", 2, 3), (0, 1, 3, 5, 2, 4): ("SpaceToDepth", 3, 5)}
"""Operator of a permutation between two reshapes, and the two axes of the first shape that hold the block."""


def _shuffle(node: Node, pattern: _Pattern) -> tuple[Node, list[Node]] | None:
    """Match reshape, transpose, reshape, by which pixels are moved into channels or back."""
    shape = pattern.known.get(node.input(1)) if node.operator == "Reshape" else None
    turn = pattern.behind(node, "Transpose")
    back = pattern.behind(turn, "Reshape")
    if not isinstance(shape, list) or len(shape) != 6 or turn is None or back is None:
        return None
    operator, first, second = _SHUFFLES.get(tuple(turn.get("perm", ())), ("", 0, 1))
    last = pattern.known.get(back.input(1))
    if not operator or shape[first] != shape[second] or not isinstance(last, list) or len(last) != 4:
        return None
    attributes = {"blocksize": shape[first], "mode": "CRD"}
    return Node(operator, (node.input(0),), back.outputs, attributes, node.name), [node, turn, back]
