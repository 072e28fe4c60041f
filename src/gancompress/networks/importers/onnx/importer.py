"""Importer of ONNX files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gancompress.errors import CheckpointError
from gancompress.networks.generator import Generator
from gancompress.networks.graph import GraphBuilder
from gancompress.networks.graph.build import known_value, unsupported
from gancompress.networks.graph.sizing import free_sizes
from gancompress.networks.image_format import STANDARD
from gancompress.networks.importers.onnx.fusions import fused
from gancompress.networks.importers.onnx.layers import LAYER_RULES
from gancompress.networks.importers.onnx.node import Node, Translation, Untranslatable
from gancompress.networks.importers.onnx.rules import RULES
from gancompress.networks.importers.registry import Importer, register_importer
from gancompress.networks.importers.source import Source
from gancompress.networks.input_rule import InputRule, Shape
from gancompress.networks.weight_values import check_values

_ALL_RULES = {**RULES, **LAYER_RULES}


class OnnxFile(Importer):
    """Network in an ONNX file."""

    def accepts(self, source: Source) -> bool:
        """Return whether the file is named as ONNX files are."""
        return source.path.suffix == ".onnx" and source.path.is_file()

    def load(self, source: Source) -> Generator:
        """Translate the file into a graph network."""
        source.check_alone("an ONNX file")
        model = _opened(source.path)
        builder, inputs = _translated(source.path, model)
        metadata = {entry.key: entry.value for entry in model.metadata_props}
        images = source.images or (STANDARD if _is_own(metadata) else None)
        outputs = [value.name for value in model.graph.output]
        generator = builder.generator([name for name, _ in inputs], outputs, images, None)
        rule = _declared(metadata, free_sizes(generator, [shape for _, shape in inputs]))
        check_values(source.path, generator.state, generator.architecture.skeleton())
        return replace(generator, architecture=replace(generator.architecture, declared_inputs=rule))


def _opened(path: Path) -> Any:
    try:
        import onnx
    except ImportError:
        raise CheckpointError(
            f"{path}: reading an ONNX file needs the package onnx; pip install 'gancompress[onnx]'"
        ) from None
    try:
        model = onnx.load(str(path))
    except Exception as error:  # a damaged file fails in any way
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(f"{path}: got a damaged file ({reason}), expected an ONNX file; copy it again") from None
    if not model.graph.node:
        raise CheckpointError(f"{path}: got a file without a graph, expected an ONNX file; copy it again")
    try:
        return onnx.shape_inference.infer_shapes(model)
    except Exception:  # shapes are a help and no need
        return model


def _translated(path: Path, model: Any) -> tuple[GraphBuilder, list[tuple[str, Shape]]]:
    """Translate all nodes, and return the graph with the inputs of the network and their shapes."""
    graph, builder = model.graph, GraphBuilder()
    for initializer in graph.initializer:
        builder.known[initializer.name] = known_value(_tensor(initializer, path))
    inputs = [(value.name, _shape(value)) for value in graph.input if value.name not in builder.known]
    nodes = [_node(each, path) for each in graph.node]
    unknown = {node.operator for node in nodes} - _ALL_RULES.keys() - {"Constant"}
    if unknown:
        raise unsupported(path, sorted(unknown), "operators", "give the checkpoint that the file was made from")
    for node in nodes:
        if node.operator == "Constant":
            builder.known[node.outputs[0]] = known_value(torch.as_tensor(next(iter(node.attributes.values()))))
    versions = [each.version for each in model.opset_import if each.domain in ("", "ai.onnx")]
    values = (*graph.input, *graph.value_info, *graph.output)
    shapes = {value.name: _shape(value) for value in values if value.type.tensor_type.HasField("shape")}
    translation = Translation(builder, max(versions, default=1), shapes)
    refused: list[str] = []
    for node in fused([each for each in nodes if each.operator != "Constant"], [o.name for o in graph.output],
                      builder.known):  # fmt: skip
        try:
            _ALL_RULES[node.operator](translation, node)
        except Untranslatable as error:
            refused.append(str(error))
    if refused:
        raise unsupported(path, list(dict.fromkeys(refused)), "operators", "give the checkpoint that it was made from")
    return builder, inputs


def _node(node: Any, path: Path) -> Node:
    own = node.domain in ("", "ai.onnx")
    operator = node.op_type if own else f"{node.domain}.{node.op_type}"
    attributes = {each.name: _attribute(each, path) for each in node.attribute}
    return Node(operator, tuple(node.input), tuple(node.output), attributes, node.name)


def _attribute(attribute: Any, path: Path) -> Any:
    from onnx import helper

    value = helper.get_attribute_value(attribute)
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return _tensor(value, path) if hasattr(value, "data_type") else list(value) if _is_list(value) else value


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _tensor(value: Any, path: Path) -> Tensor:
    from onnx import numpy_helper

    try:
        return torch.from_numpy(numpy_helper.to_array(value, str(path.parent)).copy())
    except (TypeError, ValueError, OSError) as error:
        raise CheckpointError(
            f"{path}: '{value.name}' cannot be read ({error}); copy the file again, with its data"
        ) from None


def _shape(value: Any) -> Shape:
    dims = value.type.tensor_type.shape.dim
    return tuple(dim.dim_value if dim.HasField("dim_value") and dim.dim_value > 0 else None for dim in dims)


def _is_own(metadata: dict[str, str]) -> bool:
    """Return whether gancompress wrote the file, whose images are then in [-1, 1], RGB, NCHW."""
    return {"family", "rewrites", "range"} <= metadata.keys()


def _declared(metadata: dict[str, str], rule: InputRule) -> InputRule:
    """Return a rule with the sizes that the metadata of a file of gancompress states."""
    try:
        multiple, minimum = (int(json.loads(metadata.get(f"{name}_px", "1"))) for name in ("size_multiple", "min_size"))
    except ValueError:
        return rule
    return replace(rule, multiple=max(rule.multiple, multiple), minimum=max(rule.minimum, minimum))


register_importer("onnx")(OnnxFile())
