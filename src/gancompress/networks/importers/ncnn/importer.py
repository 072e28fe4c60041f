"""Importer of networks of ncnn: a ``.param`` and a ``.bin`` file of one name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from gancompress.errors import CheckpointError
from gancompress.networks.generator import Generator
from gancompress.networks.graph import GraphBuilder
from gancompress.networks.graph.build import unsupported
from gancompress.networks.graph.sizing import free_sizes
from gancompress.networks.importers.ncnn.files import NcnnLayer, Weights, read_layers
from gancompress.networks.importers.ncnn.rules import RULES, Untranslatable
from gancompress.networks.importers.registry import Importer, register_importer
from gancompress.networks.importers.source import Source
from gancompress.networks.weight_values import check_values

_BLOCKS = (1, 4, 16)
"""Pixels that a first pixel unshuffle may move into each channel."""


class NcnnFiles(Importer):
    """Network in the two files of ncnn; either may be named."""

    def accepts(self, source: Source) -> bool:
        """Return whether the file is named as those of ncnn are, and has the other one beside it."""
        path = source.path
        return path.suffix == ".param" or (path.suffix == ".bin" and path.with_suffix(".param").is_file())

    def load(self, source: Source) -> Generator:
        """Translate the files into a graph network."""
        source.check_alone("files of ncnn")
        text, binary = source.path.with_suffix(".param"), source.path.with_suffix(".bin")
        for path in (text, binary):
            if not path.is_file():
                raise CheckpointError(f"{path}: found no such file, expected it beside the other file of ncnn")
        layers = read_layers(text)
        inputs = [name for layer in layers if layer.kind == "Input" for name in layer.outputs]
        taken = {name for layer in layers for name in layer.inputs}
        outputs = [name for layer in layers for name in layer.outputs if name not in taken]
        generator = _translated(text, layers, Weights(binary)).generator(inputs, outputs, source.images, None)
        check_values(binary, generator.state, generator.architecture.skeleton())
        return _with_inputs(generator, len(inputs))


def _translated(path: Path, layers: list[NcnnLayer], weights: Weights) -> GraphBuilder:
    builder, refused = GraphBuilder(), []
    unknown = {layer.kind for layer in layers} - RULES.keys() - {"Input"}
    if unknown:
        raise unsupported(path, sorted(unknown), "layer types", "give the checkpoint that the files were made from")
    for layer in layers:
        if layer.kind != "Input":
            try:
                RULES[layer.kind](builder, layer, weights)
            except Untranslatable as error:
                refused.append(str(error))
    if refused:
        raise unsupported(path, list(dict.fromkeys(refused)), "layers", "give the checkpoint that they were made from")
    weights.check_end()
    return builder


def _with_inputs(generator: Generator, count: int) -> Generator:
    """Return the network with the rule of its inputs: the channels of its first convolution, which a file omits."""
    layers = generator.config["layers"].values()
    channels = next((layer["in_channels"] for layer in layers if "in_channels" in layer), None)
    tried = [channels // block for block in _BLOCKS if channels and channels % block == 0]
    rules = (free_sizes(generator, [(1, each, None, None)] * count) for each in tried)
    rule = next((rule for rule in rules if rule.scale is not None), None)
    return replace(generator, architecture=replace(generator.architecture, declared_inputs=rule))


register_importer("ncnn")(NcnnFiles())
