"""Work that many tests repeat in passing, done once in a process or left small.

Each function changes a patch; tests of that work itself take it as it is.
"""

from __future__ import annotations

import copy
import functools
from dataclasses import replace
from typing import Any

import pytest
import torch

from gancompress.channels import ChannelGraph
from gancompress.data.cache import Arrays
from gancompress.data.kinds.procedural import ProceduralSet
from gancompress.jobs import run_log
from gancompress.networks.family import FamilyArchitecture
from gancompress.networks.generator import Generator
from gancompress.networks.given import Given
from gancompress.report import html
from gancompress.report.plots import Losses, loss_svgs, losses_png
from gancompress.tasks import inputs

draw_scene = ProceduralSet._draw


def operators_of_onnx(patch: pytest.MonkeyPatch) -> None:
    """Read the operators of ONNX once, not for every file, and ask once of a size whether it is a number.

    Together they take more than half of the time of a small export.
    """
    really_export = torch.onnx.export

    @functools.cache
    def prepare() -> None:
        from sympy import Expr
        from torch._export import utils
        from torch.onnx._internal.exporter._registration import ONNXRegistry  # which imports onnxscript

        read = functools.cache(ONNXRegistry.from_torchlib)

        def copied(*version: int, **options: int) -> ONNXRegistry:
            registry = copy.copy(read(*version, **options))
            registry.functions = {target: list(found) for target, found in registry.functions.items()}
            return registry

        patch.setattr(ONNXRegistry, "from_torchlib", staticmethod(copied))
        patch.setattr(utils, "_materialize_cpp_cia_ops", functools.cache(utils._materialize_cpp_cia_ops))
        patch.setattr(Expr, "is_number", property(functools.lru_cache(100_000)(Expr.is_number.fget)))

    def export(*arguments: Any, **options: Any) -> Any:
        prepare()
        return really_export(*arguments, **options)

    patch.setattr(torch.onnx, "export", export)


def scenes(patch: pytest.MonkeyPatch) -> None:
    """Draw a procedural scene once for all data sets: one of 16 pixels takes as long as a step of a tiny training."""
    drawn: dict[tuple[int, str, int, int], Arrays] = {}

    def draw(data: ProceduralSet, index: int) -> Arrays:
        key = (data._config.seed, data._split, index, data._config.image_size)
        if key not in drawn:
            drawn[key] = draw_scene(data, index)
        return drawn[key]

    patch.setattr(ProceduralSet, "_draw", draw)


def graphs(patch: pytest.MonkeyPatch) -> None:
    """Trace a structure of a family once for all jobs."""
    trace, traced, found = inputs.trace, inputs._traced, dict[Any, ChannelGraph]()

    def graph(generator: Generator, example: Given) -> ChannelGraph:
        if inputs.trace is not trace or type(generator.architecture) is not FamilyArchitecture:
            return traced(generator, example)
        key = type(generator.build()), inputs._structure_of(generator, example)
        if key not in found:
            found[key] = traced(generator, example)
        return found[key]

    patch.setattr(inputs, "_traced", graph)


def curves(patch: pytest.MonkeyPatch) -> None:
    """Draw the curve of one loss of a step, not of all: those of a tiny job take longer than its trainings."""

    def first(losses: Losses) -> list[tuple[int, dict[str, float]]]:
        """Return the values of one loss alone."""
        term = next(iter(losses[-1][1])) if losses else ""
        return [(num_images, {term: values[term]}) for num_images, values in losses if term in values]

    patch.setattr(run_log, "losses_png", lambda losses, path: losses_png(first(losses), path))
    patch.setattr(html, "loss_svgs", lambda step, name: loss_svgs(replace(step, losses=first(step.losses)), name))
