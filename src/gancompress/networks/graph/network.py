"""Network of a graph: layers with weights, and operators between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from gancompress.networks.graph.operators import apply, operator_names

MOST_INPUTS = 4
"""Number of inputs that a graph may have."""

LAYERS: dict[str, type[nn.Module]] = {
    kind.__name__: kind
    for kind in (
        *(nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d, nn.Linear),
        *(nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d),
        *(nn.GroupNorm, nn.LayerNorm, nn.PReLU),
    )
}
"""Layers that a graph may have, by name."""


@dataclass(frozen=True)
class _Program:
    """Nodes that a network runs, with its inputs and outputs. Copies of the network share them."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    nodes: tuple[Mapping[str, Any], ...]
    last_uses: tuple[tuple[str, ...], ...]

    def __deepcopy__(self, memo: object) -> _Program:
        return self


class GraphNetwork(nn.Module):
    """Network that runs the nodes of a graph in order.

    All arguments are plain values, so that a network is saved as its weights and these. A node is a mapping of
    ``operator`` or ``layer`` (a path in ``layers``), ``inputs``, ``outputs`` and ``options``. An input is the name of
    a value, a mapping ``{"tensor": path}`` or ``{"value": number or list}``, or None where it is left out.
    """

    def __init__(
        self,
        inputs: Sequence[str],
        outputs: Sequence[str],
        nodes: Sequence[Mapping[str, Any]],
        layers: Mapping[str, Mapping[str, Any]],
        tensors: Mapping[str, Mapping[str, Any]],
    ) -> None:
        """Build the layers with fresh weights.

        Args:
            inputs: Names of the values that forward takes.
            outputs: Names of the values that it returns.
            nodes: The nodes, each behind those whose values it takes.
            layers: Kind in `LAYERS` and keyword arguments of every layer, by its path.
            tensors: Shape, and dtype where it is no parameter, of tensors beside those of layers, by their path.

        Raises:
            ValueError: A node has an operator that does not exist, or there are more than `MOST_INPUTS` inputs.
        """
        super().__init__()
        if len(inputs) > MOST_INPUTS:
            raise ValueError(f"got {len(inputs)} inputs, expected at most {MOST_INPUTS}")
        unknown = {node["operator"] for node in nodes if "operator" in node} - operator_names()
        if unknown:
            raise ValueError(f"unknown operators {', '.join(sorted(unknown))}")
        self.program = _Program(tuple(inputs), tuple(outputs), tuple(nodes), _last_uses(nodes, outputs))
        for path, layer in layers.items():
            owner, name = _owner(self, path)
            owner.add_module(name, LAYERS[layer["kind"]](**_arguments(layer)))
        for path, tensor in tensors.items():
            owner, name = _owner(self, path)
            if "dtype" in tensor:
                owner.register_buffer(name, torch.zeros(tensor["shape"], dtype=getattr(torch, tensor["dtype"])))
            else:
                owner.register_parameter(name, nn.Parameter(torch.zeros(tensor["shape"])))

    def forward(
        self, first: Tensor, second: Tensor | None = None, third: Tensor | None = None, fourth: Tensor | None = None
    ) -> Any:
        """Run the graph on its inputs; returns a tensor, or several by name."""
        program = self.program
        given = [each for each in (first, second, third, fourth) if each is not None]  # exporters refuse *inputs
        values: dict[str, Any] = dict(zip(program.inputs, given, strict=True))
        for node, done in zip(program.nodes, program.last_uses, strict=True):
            given = [self._value(values, each) for each in node["inputs"]]
            if "layer" in node:
                made: Any = self.get_submodule(node["layer"])(*given)
            else:
                made = apply(node["operator"], given, node.get("options", {}))
            names = node["outputs"]
            values.update(zip(names, made, strict=True) if len(names) > 1 else ((names[0], made),))
            for name in done:
                del values[name]
        results = {name: values[name] for name in program.outputs}
        return results if len(results) > 1 else next(iter(results.values()))

    def _value(self, values: Mapping[str, Any], given: Any) -> Any:
        if isinstance(given, str):
            return values[given]
        if given is None or "value" in given:
            return None if given is None else given["value"]
        owner, _, name = given["tensor"].rpartition(".")
        return getattr(self.get_submodule(owner), name)


def _arguments(layer: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in layer.items() if name != "kind"}


def _owner(network: nn.Module, path: str) -> tuple[nn.Module, str]:
    """Return the module that a path names a part of, made where it is missing, and the name of the part."""
    *parents, name = path.split(".")
    owner = network
    for parent in parents:
        if parent not in owner._modules:
            owner.add_module(parent, nn.Module())
        owner = owner.get_submodule(parent)
    return owner, name


def _last_uses(nodes: Sequence[Mapping[str, Any]], outputs: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """Return the values that are not needed any more behind each node, so that memory is freed."""
    done: list[tuple[str, ...]] = []
    seen = set(outputs)
    for node in reversed(nodes):
        used = dict.fromkeys(each for each in (*node["inputs"], *node["outputs"]) if isinstance(each, str))
        done.append(tuple(name for name in used if name not in seen))
        seen.update(used)
    return tuple(done[::-1])
