"""Latency model of a network on a runtime; measures only what the cache lacks."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

from torch import Tensor, nn

from gancompress.channels import ChannelGraph, ChannelPlan, materialise
from gancompress.deploy.latency.device import Target
from gancompress.deploy.latency.measuring import times_of
from gancompress.deploy.latency.model import LatencyModel
from gancompress.deploy.latency.parts import Part, calls_of, parts_of
from gancompress.deploy.latency.table import LatencyTable, key_of
from gancompress.deploy.latency.variants import Variants
from gancompress.deploy.rewrites import rewritten
from gancompress.errors import CheckpointError
from gancompress.io import cache_folder
from gancompress.networks.generator import Generator

_LOG = logging.getLogger(__name__)

Widths = tuple[int, ...]


def learn_latency(
    generator: Generator,
    graph: ChannelGraph,
    example: Tensor,
    target: Target,
    variants: Variants,
    *,
    keep_at: Path | None = None,
    cache: Path | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> LatencyModel:
    """Measure a network's parts and fit the latency model of its plans.

    Args:
        generator: The network at full width.
        graph: Its graph.
        example: An input of it, batch 1.
        target: The runtime.
        variants: Widths and plans to measure.
        keep_at: File of the measurements that the model is fitted to; an existing file is used unchanged, so that the
            same call gives the same model.
        cache: Folder of tables; ``latency`` in the cache of this package by default.
        say: Receives progress messages.

    Raises:
        ExportError: The runtime is missing, or refuses a part.
        CheckpointError: ``keep_at`` is no table.
    """
    network = generator.build()
    parts = parts_of(network, graph, example)
    wanted = {part.kind: tuple(product(*(variants.widths[group] for group in part.groups))) for part in parts}
    if keep_at is not None and keep_at.is_file():
        table = LatencyTable.load(keep_at)
    else:
        device, rewrites = target.device(), target.rewrites(generator)
        path = (cache or cache_folder() / "latency") / f"{_key(network, example, device, rewrites)}.json"
        table = _read(path, device)
        missing = missing_of(table, network, graph, example, parts, wanted, variants.plans, rewrites)
        times = times_of([each.module for each in missing], [each.shape for each in missing], target, say)
        for each, ms in zip(missing, times, strict=True):
            each.times[each.key] = ms
        if missing:
            _write(table, path)
        table = table.restricted(wanted, variants.plans)
        if keep_at is not None:
            table.save(keep_at)
    return LatencyModel(graph, parts, table)


@dataclass(frozen=True)
class Missing:
    """A part or network to time.

    Attributes:
        module: A part or a network at some widths, rewritten for its runtime.
        shape: Shape of its input.
        times: The part of the table that it is missing in.
        key: Its key there.
    """

    module: nn.Module
    shape: Widths
    times: dict[Widths, float]
    key: Widths


def missing_of(
    table: LatencyTable,
    network: nn.Module,
    graph: ChannelGraph,
    example: Tensor,
    parts: Sequence[Part],
    wanted: Mapping[str, Sequence[Widths]],
    plans: Sequence[ChannelPlan],
    rewrites: Sequence[str],
) -> list[Missing]:
    """Return the parts and networks that a table lacks, parts first.

    Args:
        table: The table.
        network: The network at full width.
        graph: Its graph.
        example: An input of it.
        parts: Its parts.
        wanted: The widths of each kind of part.
        plans: Plans of whole networks.
        rewrites: Rewrites applied for the runtime.
    """
    missing = []
    graph = replace(graph, slots=())  # parts are timed at widths of their own
    first = {part.kind: part for part in reversed(parts)}
    for kind, combinations in wanted.items():
        times, part = table.parts.setdefault(kind, {}), first[kind]
        for widths in combinations:
            if widths not in times:
                narrow = materialise(network, graph, graph.plan(dict(zip(part.groups, widths, strict=True)))).eval()
                shape = calls_of(narrow, example)[part.path][0]
                assert shape is not None
                module = rewritten(narrow, rewrites)[0].get_submodule(part.path)
                missing.append(Missing(module, shape, times, widths))
    for plan in plans:
        if key_of(plan) not in table.networks:
            module, _ = rewritten(materialise(network, graph, plan).eval(), rewrites)
            missing.append(Missing(module, tuple(example.shape), table.networks, key_of(plan)))
    return missing


def _key(network: nn.Module, example: Tensor, device: dict[str, str], rewrites: tuple[str, ...]) -> str:
    described = [device, repr(network), list(example.shape), list(rewrites)]
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:32]


def _read(path: Path, device: dict[str, str]) -> LatencyTable:
    """Return the table in the cache; an empty one if there is none or it is damaged."""
    if path.is_file():
        try:
            return LatencyTable.load(path)
        except CheckpointError as error:
            _LOG.warning("%s", error)
    return LatencyTable(device)


def _write(table: LatencyTable, path: Path) -> None:
    """Save a table; a folder that cannot be written is only logged."""
    try:
        table.save(path)
    except OSError as error:
        _LOG.warning("%s: not kept (%s); it will be measured again", path, error)
