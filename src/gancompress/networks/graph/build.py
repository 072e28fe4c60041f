"""Building of graph networks, node by node, by the readers of foreign files."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gancompress.errors import CheckpointError
from gancompress.networks.architecture import ClassArchitecture
from gancompress.networks.generator import Generator
from gancompress.networks.graph.network import GraphNetwork
from gancompress.networks.graph.operators import apply
from gancompress.networks.graph.sizes import is_size
from gancompress.networks.image_format import Images
from gancompress.networks.input_rule import InputRule

_SHORT = 6
"""Length up to which a list of floats is kept as numbers, because sizes are computed with it."""

_NAME = f"{GraphNetwork.__module__.rpartition('.')[0]}:{GraphNetwork.__name__}"
_RESERVED = set(dir(GraphNetwork([], [], [], {}, {})))


class GraphBuilder:
    """Graph under construction.

    Attributes:
        known: Values that do not depend on the inputs, by name: numbers, lists of numbers, tensors.
    """

    def __init__(self) -> None:
        """Create an empty graph."""
        self.known: dict[str, Any] = {}
        self._nodes: list[dict[str, Any]] = []
        self._layers: dict[str, dict[str, Any]] = {}
        self._tensors: dict[str, dict[str, Any]] = {}
        self._state: dict[str, Tensor] = {}
        self._paths: dict[str, str] = {}
        self._parts: set[str] = set()

    def layer(
        self, path: str, kind: str, arguments: Mapping[str, Any], weights: Mapping[str, Tensor | None], given: Any
    ) -> None:
        """Add a layer.

        Args:
            path: Wanted path of the layer; changed where it is taken.
            kind: Name of its class, one of `LAYERS`.
            arguments: Keyword arguments of its constructor.
            weights: Its tensors by name; None for those that it does not have.
            given: Its input and its output by name.
        """
        path = self._free(path)
        self._layers[path] = {"kind": kind, **arguments}
        for name, tensor in weights.items():
            if tensor is not None:
                self._state[f"{path}.{name}"] = tensor.detach().clone()
        source, made = given
        self._nodes.append({"layer": path, "inputs": [self.given(source)], "outputs": [made]})

    def operator(self, name: str, given: Sequence[Any], made: Sequence[str], **options: Any) -> None:
        """Add an operator, or compute it now if all its inputs are known.

        Args:
            name: Name of the operator.
            given: Its inputs: names, or literals as ``{"value": number or list}``; None or "" where one is left out.
            made: Names of its outputs.
            options: Its options; those that are None are left out.
        """
        options = {key: value for key, value in options.items() if value is not None}
        if all(not each or isinstance(each, dict) or each in self.known for each in given):
            computed = apply(name, [self._known(each) for each in given], options)
            results = map(known_value, computed if len(made) > 1 else (computed,))
            self.known.update(zip(made, results, strict=True))
            return
        inputs = [self.given(each) for each in given]
        self._nodes.append({"operator": name, "inputs": inputs, "outputs": list(made), "options": options})

    def given(self, name: Any) -> Any:
        """Return the input of a node for a name: a literal or a tensor of the network if its value is known."""
        if not name or isinstance(name, dict):
            return name or None
        if name not in self.known:
            return str(name)
        value = self.known[name]
        if is_size(value):
            return {"value": value}
        if value.numel() == 1 and value.is_floating_point():
            return {"value": value.item()}
        return {"tensor": self._tensor(name, value)}

    def generator(
        self, inputs: Sequence[str], outputs: Sequence[str], images: Images | None, rule: InputRule | None
    ) -> Generator:
        """Return the network, without nodes that contribute to no output.

        Args:
            inputs: Names of its inputs.
            outputs: Names of its outputs.
            images: Formats of its images.
            rule: Rule of its inputs.
        """
        nodes = _contributing(self._nodes, outputs)
        used = {node["layer"] for node in nodes if "layer" in node}
        named = {
            each["tensor"] for node in nodes for each in node["inputs"] if isinstance(each, dict) and "tensor" in each
        }
        layers = {path: layer for path, layer in self._layers.items() if path in used}
        tensors = {path: tensor for path, tensor in self._tensors.items() if path in named}
        kept = {path: self._state[path] for path in tensors}
        kept |= {name: tensor for name, tensor in self._state.items() if name.rpartition(".")[0] in layers}
        config = {"inputs": [*inputs], "outputs": [*outputs], "nodes": nodes, "layers": layers, "tensors": tensors}
        architecture = ClassArchitecture(_NAME, config, images, {}, rule, network=GraphNetwork)
        network = architecture.build()
        network.load_state_dict(kept, strict=False)  # counters of batch norms are not in foreign files
        return Generator(architecture, {key: tensor.detach() for key, tensor in network.state_dict().items()})

    def _known(self, given: Any) -> Any:
        return given["value"] if isinstance(given, dict) else self.known[given] if given else None

    def _tensor(self, name: str, value: Tensor) -> str:
        path = self._paths.get(name)
        if path is None:
            path = self._paths[name] = self._free(name)
            self._tensors[path] = {"shape": list(value.shape)}
            if not value.is_floating_point():
                self._tensors[path]["dtype"] = str(value.dtype).removeprefix("torch.")
            self._state[path] = value.float() if value.is_floating_point() else value
        return path

    def _free(self, name: str) -> str:
        """Return a path like a name that no other part of the network has, or is a part of."""
        parts = [re.sub(r"\W", "_", part) or "part" for part in name.replace("/", ".").strip(".").split(".")]
        if parts[0] in _RESERVED or parts[0].startswith("_"):
            parts[0] = f"part{'' if parts[0].startswith('_') else '_'}{parts[0]}"
        path, number = ".".join(parts), 1
        while path in self._parts or any(path.startswith(f"{leaf}.") for leaf in (*self._layers, *self._tensors)):
            number += 1
            path = f"{'_'.join(parts)}_{number}"
        self._parts.update(".".join(path.split(".")[: i + 1]) for i in range(path.count(".") + 1))
        return path


def known_value(value: Any) -> Any:
    """Return a constant in the form in which graphs compute with it: numbers for sizes, else a tensor."""
    if not isinstance(value, Tensor):
        return value
    if value.ndim == 0 or (value.ndim == 1 and (not value.is_floating_point() or value.numel() <= _SHORT)):
        return value.tolist()
    return value.float() if value.is_floating_point() else value


def tensor_of(value: Any) -> Tensor:
    """Return a known value as a tensor, in float32 if it is a number with a fraction."""
    return value if isinstance(value, Tensor) else torch.tensor(value)


def unsupported(path: Path, names: Sequence[str], what: str, instead: str) -> CheckpointError:
    """Return the error of operators that no reader translates, all of them in one line."""
    return CheckpointError(
        f"{path}: got {len(names)} {what} that cannot be read ({', '.join(names)}), expected those of image networks; "
        f"{instead}"
    )


def _contributing(nodes: Sequence[dict[str, Any]], outputs: Sequence[str]) -> list[dict[str, Any]]:
    needed, kept = set(outputs), []
    for node in reversed(nodes):
        if not needed.isdisjoint(node["outputs"]):
            needed.update(each for each in node["inputs"] if isinstance(each, str))
            kept.append(node)
    return kept[::-1]
