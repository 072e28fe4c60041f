"""Nodes of ONNX graphs, and the state of their translation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from gancompress.networks.graph import GraphBuilder
from gancompress.networks.graph.build import tensor_of


class Untranslatable(Exception):
    """A node of a known operator whose attributes are not supported; the message names them."""


@dataclass(frozen=True)
class Node:
    """A node of an ONNX graph.

    Attributes:
        operator: Its operator.
        inputs: Names of its inputs; empty for one that is left out.
        outputs: Names of its outputs.
        attributes: Its attributes, as plain values and tensors.
        name: Its name in the file.
    """

    operator: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    name: str = ""

    def input(self, index: int) -> str:
        """Return the name of an input; empty if it is left out."""
        return self.inputs[index] if index < len(self.inputs) else ""

    def get(self, attribute: str, default: Any = None) -> Any:
        """Return an attribute."""
        return self.attributes.get(attribute, default)


@dataclass(frozen=True)
class Translation:
    """State of a translation.

    Attributes:
        builder: The graph under construction.
        version: Version of the operator set.
        shapes: Shapes of values, as far as they are known; None for a free axis.
    """

    builder: GraphBuilder
    version: int
    shapes: Mapping[str, Sequence[int | None]]

    def rank(self, name: str) -> int:
        """Return the number of axes of a value; that of images if it is not known."""
        return len(self.shapes[name]) if name in self.shapes else 4

    def weight(self, name: str) -> Tensor | None:
        """Return a known input as a tensor; None if it is left out.

        Raises:
            Untranslatable: It is computed by the network.
        """
        if not name:
            return None
        if name not in self.builder.known:
            raise Untranslatable("weights that the network computes")
        value = tensor_of(self.builder.known[name])
        return value.float() if value.is_floating_point() else value

    def numbers(self, name: str, default: Any = None) -> Any:
        """Return a known input as a number or a list; the default if it is left out, or empty.

        Raises:
            Untranslatable: It is computed by the network.
        """
        if not name:
            return default
        if name not in self.builder.known:
            raise Untranslatable("options that the network computes")
        value = self.builder.known[name]
        value = value.tolist() if isinstance(value, Tensor) else value
        return default if value == [] else value

    def add(self, operator: str, node: Node, *inputs: Any, **options: Any) -> None:
        """Add an operator on the first inputs of a node, or on the given ones, with the outputs of the node."""
        self.builder.operator(operator, inputs or node.inputs, node.outputs, **options)


Rule = Callable[[Translation, Node], None]
"""Translation of one node."""
