"""Widths that the constructor of an architecture can express, so that the original program loads a narrow network.

The constructors of most networks know a few numbers (``num_feat``, ``num_grow_ch``), and their loaders infer them from
the shapes in a file. A network is loadable if every width follows from them. The groups of each number are found by
building the network with twice its value.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction

from torch import nn

from gancompress.channels import ChannelGraph, Slot, left_out_of, modules_of
from gancompress.channels.skeleton import copy_structure
from gancompress.errors import ConfigError, GanCompressError
from gancompress.networks.architecture import Architecture
from gancompress.networks.generator import Generator
from gancompress.networks.state import Shapes, shapes_of

_MOST_PARTS = 8  # a group may be an eighth of an argument, as after a division of channels


Place = tuple[str, int]
"""Name of a tensor, and the number of an axis."""


@dataclass(frozen=True)
class WidthArgument:
    """Constructor argument that sets widths.

    Attributes:
        name: Its name.
        value: Its value.
        places: Axes that are proportional to it.
    """

    name: str
    value: int
    places: frozenset[Place]


def loadable_slots(generator: Generator, graph: ChannelGraph) -> tuple[Slot, ...]:
    """Return slots that keep every plan of a network loadable by the original program.

    The groups of an argument share a slot, whose value is that of the argument, or a part of it. Groups that no
    argument sets, or that follow from one by another rule, keep their channels: each is a slot with the value 1.

    Args:
        generator: The network, at widths that its constructor can express.
        graph: Its graph.

    Raises:
        ConfigError: The constructor is not known, sets no widths, or cannot express the present ones.
    """
    architecture = loadable(generator).architecture
    arguments = list(_width_arguments(architecture, shapes_of(architecture.skeleton())))
    ratios: dict[str, dict[str, Fraction]] = {argument.name: {} for argument in arguments}
    for group in graph.groups.values():
        places = {
            (name, number)
            for name, number, axis in graph.members(group.name)
            if axis.groups == (group.name,) and not axis.extent.constant
        }
        setting = next((each for each in arguments if places and places <= each.places), None)
        if setting is not None and (ratio := Fraction(group.size, setting.value)).denominator <= _MOST_PARTS:
            ratios[setting.name][group.name] = ratio
    slots = [
        _slot(argument, ratios[argument.name])
        for argument in arguments
        if ratios[argument.name] and _follows(architecture, argument, ratios[argument.name], graph)
    ]
    found = {name for slot in slots for name in slot.groups}
    alone = [Slot(group.name, (group.name,), group.size) for group in graph.groups.values() if group.name not in found]
    if not slots:
        raise _inexpressible(architecture, "sets channel groups")
    return (*slots, *alone)


def _slot(argument: WidthArgument, ratios: Mapping[str, Fraction]) -> Slot:
    """Return the slot of an argument: its value is that of the argument, or a fraction if groups are parts of it."""
    parts = math.lcm(*(ratio.denominator for ratio in ratios.values()))
    return Slot(argument.name, tuple(ratios), tuple(int(ratio * parts) for ratio in ratios.values()))


def _follows(
    architecture: Architecture, argument: WidthArgument, ratios: Mapping[str, Fraction], graph: ChannelGraph
) -> bool:
    """Return True if half of an argument is the network whose groups of this argument have half of their channels."""
    half = argument.value // 2
    narrow = {name: ratio * half for name, ratio in ratios.items()}
    if not half or any(width.denominator > 1 for width in narrow.values()):
        return False
    widths = {name: group.size for name, group in graph.groups.items()} | {n: int(w) for n, w in narrow.items()}
    try:
        shapes = shapes_of(architecture.with_arguments(**{argument.name: half}).skeleton())
    except GanCompressError:
        return False
    tensors = ((name, axes) for name, axes in graph.tensors.items() if name in shapes)
    return all(shapes[name] == tuple(axis.extent.at(widths) for axis in axes) for name, axes in tensors)


def loadable(generator: Generator) -> Generator:
    """Return the same network as its constructor makes it: widths and numbers of blocks follow from its arguments.

    Raises:
        ConfigError: The constructor is not known, or cannot express the widths, or the blocks left out or folded.
    """
    if folded := generator.architecture.folded:
        raise ConfigError(
            f"loadable: {generator.family}: got folded blocks ({', '.join(folded)}), which its constructor does not "
            "make, expected the network before folding; leave loadable out, or fold no blocks"
        )
    generator = _renumbered(generator)
    architecture, state = generator.architecture, shapes_of(generator.state)
    plain = architecture.with_arguments()
    base = shapes_of(plain.skeleton())
    if base == state:
        return Generator(plain, generator.state)
    values: dict[str, int] = {}
    if base.keys() == state.keys():
        for argument in _width_arguments(plain, base):
            votes = Counter(argument.value * state[name][axis] / base[name][axis] for name, axis in argument.places)
            values[argument.name] = max(1, round(votes.most_common(1)[0][0]))
        plain = plain.with_arguments(**values)
    if shapes_of(plain.skeleton()) != state:
        raise _inexpressible(architecture, "gives these widths")
    return Generator(plain, generator.state)


def without_gaps(network: nn.Module) -> nn.Module:
    """Copy a network without the blocks that were left out of its lists, which are numbered again.

    Raises:
        ConfigError: A block that was left out is no item of a list.
    """
    network = copy_structure(network)
    for block in reversed(left_out_of(network)):
        paths = modules_of(block)
        parent, _, number = paths[-1].rpartition(".")
        items = network.get_submodule(parent)
        if len(paths) > 1 or not isinstance(items, nn.Sequential | nn.ModuleList):
            raise ConfigError(
                f"loadable: got '{block}' left out, which no constructor can express, expected items of a list such as "
                "body.3; keep that block, or leave loadable out"
            )
        del items[int(number)]
    return network


def _renumbered(generator: Generator) -> Generator:
    """Return a network without gaps in its lists of blocks, as a constructor makes it with fewer blocks."""
    architecture = generator.architecture
    if not architecture.left_out:
        return generator
    state = without_gaps(generator.build()).state_dict()
    for name, value in architecture.depth_arguments.items():
        number = value - len(architecture.left_out)
        with suppress(GanCompressError):
            shorter = architecture.with_arguments(**{name: number})
            if shorter.skeleton().state_dict().keys() == state.keys():
                return Generator(shorter, state)
    raise ConfigError(
        f"loadable: {architecture.name}: got {len(architecture.left_out)} blocks left out, but no argument of its "
        f"constructor sets their number (tried: {', '.join(architecture.depth_arguments) or 'none is known'}), "
        "expected one such as num_block; leave loadable out"
    )


def _width_arguments(architecture: Architecture, base: Shapes) -> Iterator[WidthArgument]:
    """Yield the arguments that set widths; of several for one axis the first counts."""
    taken: set[Place] = set()
    for name, value in architecture.width_arguments.items():
        places = _doubled(architecture, {name: 2 * value}, base) - taken
        if places:
            taken |= places
            yield WidthArgument(name, value, frozenset(places))


def _doubled(architecture: Architecture, arguments: Mapping[str, int], base: Shapes) -> set[Place]:
    """Return the axes that are twice as long with other arguments; none if the network has other tensors then."""
    try:
        other = shapes_of(architecture.with_arguments(**arguments).skeleton())
    except GanCompressError:
        return set()
    if other.keys() != base.keys() or any(len(other[name]) != len(base[name]) for name in base):
        return set()
    return {
        (name, axis) for name, shape in base.items() for axis, size in enumerate(shape) if other[name][axis] == 2 * size
    }


def _inexpressible(architecture: Architecture, reason: str) -> ConfigError:
    known = ", ".join(architecture.width_arguments) or "none is known"
    return ConfigError(
        f"loadable: {architecture.name}: no argument of its constructor {reason} (tried: {known}), expected one such "
        "as num_feat; leave loadable out to narrow its groups one by one"
    )
