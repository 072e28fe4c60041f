"""Channel graph: groups of channels of a module that can only be kept or removed together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from math import gcd

from gancompress.channels.blocks import Block
from gancompress.channels.layout import Axis, Extent
from gancompress.channels.left_out import modules_of
from gancompress.channels.plan import ChannelPlan
from gancompress.channels.recording import RecordedOp
from gancompress.channels.slots import Slot, slots_from_widths
from gancompress.errors import PlanError, nearest


@dataclass(frozen=True)
class ChannelGroup:
    """Channels that share one width.

    Attributes:
        name: Path of the first layer that produces them.
        size: Channels at full width.
        minimum: The narrowest legal width.
        multiple: A legal width is a multiple of this, or the full width.
        positions: Positions that one of its channels takes in a layer, at least: more than 1 if every head of an
            attention, or every group of a norm, keeps the same ones.
    """

    name: str
    size: int
    minimum: int = 1
    multiple: int = 1
    positions: int = 1

    @property
    def choices(self) -> tuple[int, ...]:
        """Legal widths, ascending."""
        aligned = range(-(-self.minimum // self.multiple) * self.multiple, self.size, self.multiple)
        return (*aligned, self.size)

    def nearest(self, width: float) -> int:
        """Return the legal width closest to this one; the wider of two at equal distance."""
        return min(self.choices, key=lambda choice: (abs(choice - width), -choice))


@dataclass(frozen=True)
class FixedChannels:
    """Channels of a layer that no plan removes.

    Attributes:
        layer: Path of the layer that produces them, or the name of the tensor if it belongs to no layer.
        channels: Number of channels.
        reason: Reason that they are fixed.
        unfollowed: Whether they were fixed because the graph could not follow them, rather than because they must stay.
        where: Path of the module that fixed them.
    """

    layer: str
    channels: int
    reason: str
    unfollowed: bool
    where: str

    def __str__(self) -> str:
        place = f" in '{self.where}'" if self.where else ""
        text = f"'{self.layer}' keeps its {self.channels} channels: {self.reason}{place}"
        if self.unfollowed:
            text += (
                "; to make them narrowable, write that step with plain layers, sums, concatenations and products, "
                "and take sizes from tensors instead of constants"
            )
        return text


@dataclass(frozen=True)
class TensorShape:
    """Shape of a tensor of the traced pass, as linear forms in the widths.

    Attributes:
        extents: One for each axis.
        itemsize: Bytes of an element.
        storage: Number of the storage that it lies in; views share one.
        weight: Whether it is a parameter, or computed from parameters alone.
    """

    extents: tuple[Extent, ...]
    itemsize: int
    storage: int
    weight: bool


@dataclass(frozen=True)
class ChannelGraph:
    """Coupled channels of a module, and its forward pass in terms of them. Made by `gancompress.channels.trace`.

    Attributes:
        groups: Channel groups by name, in the order of the forward pass.
        tensors: Layout of every axis of each parameter and buffer over the groups.
        parameters: Names of the parameters among the tensors.
        itemsizes: Bytes of an element of every parameter and buffer.
        aliases: Further names of shared tensors, mapped to their name in ``tensors``.
        attributes: Sizes that modules hold as attributes: ``{module path: {attribute: extent or tuple of extents}}``.
        ops: The operations of the traced pass.
        shapes: The shape of every tensor of that pass, by `gancompress.channels.recording.Ref` index.
        module_types: Class name of every module, by path.
        fixed: Channels that no plan removes, with the reason.
        slots: Slots whose groups must agree in every plan.
        blocks: Residual blocks that can be left out, by name.
        left_out: Names of the blocks that the network lacks already; every plan leaves them out.
    """

    groups: Mapping[str, ChannelGroup]
    tensors: Mapping[str, tuple[Axis, ...]]
    parameters: frozenset[str]
    itemsizes: Mapping[str, int]
    aliases: Mapping[str, str]
    attributes: Mapping[str, Mapping[str, Extent | tuple[Extent, ...]]]
    ops: tuple[RecordedOp, ...]
    shapes: tuple[TensorShape, ...]
    module_types: Mapping[str, str]
    fixed: tuple[FixedChannels, ...]
    slots: tuple[Slot, ...] = ()
    blocks: Mapping[str, Block] = field(default_factory=dict)
    left_out: frozenset[str] = frozenset()

    @property
    def unfollowed(self) -> tuple[FixedChannels, ...]:
        """Channels that are fixed because the graph could not follow them."""
        return tuple(f for f in self.fixed if f.unfollowed)

    def has(self, name: str) -> bool:
        """Return whether the network has a parameter or buffer of this name."""
        return name in self.tensors or name in self.aliases

    def axes(self, name: str) -> tuple[Axis, ...]:
        """Return the axes of a parameter or buffer, under any of its names."""
        return self.tensors[self.aliases.get(name, name)]

    def members(self, group: str, roles: Sequence[str] = ()) -> Iterator[tuple[str, int, Axis]]:
        """Yield every (tensor name, axis number, axis) that a group lies on, in the order of the forward pass.

        Args:
            group: Name of a group.
            roles: Restrict to axes with one of these roles; every role if empty.
        """
        for name, axes in self.tensors.items():
            for number, axis in enumerate(axes):
                if group in axis.groups and (not roles or axis.role in roles):
                    yield name, number, axis

    def plan(self, widths: Mapping[str, int], left_out: Iterable[str] = ()) -> ChannelPlan:
        """Return the plan with these widths, and every other group at full width, without some blocks.

        Raises:
            PlanError: See `validate`.
        """
        unknown = [name for name in widths if name not in self.groups]
        if unknown:
            raise PlanError(f"plan: no channel group '{unknown[0]}'; {nearest(unknown[0], self.groups)}")
        full = {name: widths.get(name, group.size) for name, group in self.groups.items()}
        plan = ChannelPlan(full, self.left_out.union(left_out))
        self.validate(plan)
        return plan

    def matching_blocks(self, patterns: Iterable[str]) -> tuple[str, ...]:
        """Return the blocks of these names; ``*`` stands for any text (``body.*``).

        The branch of a sum may be named by its last module, if no block has that name.

        Raises:
            PlanError: A name fits no block that can be left out.
        """
        found: dict[str, None] = {}
        for pattern in patterns:
            fitting = [name for name in self.blocks if fnmatchcase(name, pattern)] or [
                name for name in self.blocks if fnmatchcase(modules_of(name)[-1], pattern)
            ]
            if not fitting:
                raise self._no_block(pattern)
            found |= dict.fromkeys(fitting)
        return tuple(found)

    def _no_block(self, name: str) -> PlanError:
        known = nearest(name, self.blocks) if self.blocks else "this network has none"
        return PlanError(f"left_out: no block '{name}' that can be left out; {known}")

    def narrowed(self, plan: ChannelPlan) -> ChannelGraph:
        """Return the graph of the network narrowed to a plan, without another trace.

        Sizes are linear forms in the widths, so only the groups and the layouts of the tensors change. Groups of which
        no tensor is left keep their width.

        Raises:
            PlanError: The plan does not fit the graph.
        """
        self.validate(plan)
        held = {name: axes for name, axes in self.tensors.items() if plan.holds(name)}
        left = {group for axes in held.values() for axis in axes for group in axis.groups}

        def narrow(name: str, group: ChannelGroup) -> ChannelGroup:
            width = plan.widths[name]
            return replace(group, size=width, minimum=min(group.minimum, width) if name in left else width)

        return replace(
            self,
            groups={name: narrow(name, group) for name, group in self.groups.items()},
            tensors={name: tuple(axis.narrowed(plan.widths) for axis in axes) for name, axes in held.items()},
            aliases={alias: name for alias, name in self.aliases.items() if plan.holds(alias)},
            attributes={path: sizes for path, sizes in self.attributes.items() if plan.holds(path)},
            left_out=plan.left_out,
        )

    def full_plan(self) -> ChannelPlan:
        """Return the plan with every group at full width."""
        return self.plan({})

    def smallest_plan(self) -> ChannelPlan:
        """Return the plan with every group, or slot of tied groups, at its narrowest legal width."""
        return self.uniform_plan(0.0)

    def uniform_plan(self, keep: float) -> ChannelPlan:
        """Return the plan with every group at the legal width closest to ``keep`` times its size.

        Raises:
            PlanError: keep lies outside [0, 1].
        """
        if not 0 <= keep <= 1:
            raise PlanError(f"keep: got {keep}, expected a fraction between 0 and 1")
        widths = {name: group.nearest(keep * group.size) for name, group in self.groups.items()}
        return self.plan(self.tied(widths))

    def tied(self, widths: Mapping[str, int]) -> dict[str, int]:
        """Return widths of all groups in which those of each slot agree, at its narrowest value that is not narrower.

        Args:
            widths: Width of groups by name; a group that is not named keeps all channels.

        Raises:
            PlanError: No value gives all groups of a slot a legal width.
        """
        tied = {name: widths.get(name, group.size) for name, group in self.groups.items()}
        for slot in self.slots:
            least = max(-(-tied[g] // multiplier) for g, multiplier in slot.multipliers.items())
            legal = self.slot_choices(slot)
            value = next((each for each in legal if each >= least), legal[-1])
            tied |= {g: multiplier * value for g, multiplier in slot.multipliers.items()}
        return tied

    def slot_choices(self, slot: Slot) -> tuple[int, ...]:
        """Return every value of a slot that gives all of its groups legal widths, ascending.

        Raises:
            PlanError: There is none, or the slot names a group that the network lacks.
        """
        for name in slot.groups:
            if name not in self.groups:
                raise PlanError(f"slot {slot.name}: no channel group '{name}'; {nearest(name, self.groups)}")
        values = [{w // m for w in self.groups[name].choices if w % m == 0} for name, m in slot.multipliers.items()]
        legal = sorted(set.intersection(*values))
        if not legal:
            raise PlanError(f"slot {slot.name}: no value gives all of its groups a legal width; tie other groups")
        return tuple(legal)

    def validate(self, plan: ChannelPlan) -> None:
        """Check a plan against the graph.

        Raises:
            PlanError: A group is missing or unknown, a width is wider than the network, below the group's minimum or
                no multiple of what it must be, the groups of a slot disagree, or the network has no block of a name.
        """
        if plan.widths.keys() != self.groups.keys():
            missing = sorted(self.groups.keys() - plan.widths.keys())
            unknown = sorted(plan.widths.keys() - self.groups.keys())
            raise PlanError(f"plan: does not fit this network; missing groups {missing}, unknown groups {unknown}")
        for name, width in plan.widths.items():
            group = self.groups[name]
            if width > group.size:
                raise PlanError(f"plan: '{name}' got {width}, but the network has only {group.size} channels there")
            if width < group.minimum:
                raise PlanError(f"plan: '{name}' got {width}, expected at least {group.minimum}")
            if width not in group.choices:
                raise PlanError(
                    f"plan: '{name}' got {width}, expected a multiple of {group.multiple} or {group.size}; "
                    f"the closest is {group.nearest(width)}"
                )
        slots_from_widths(self.slots, plan.widths)
        unknown = [block for block in plan.left_out if block not in self.blocks]
        if unknown:
            raise self._no_block(unknown[0])

    def constrain(
        self, *, multiple: int, minimum: int, fixed: Sequence[str] = (), slots: Sequence[Slot] = ()
    ) -> ChannelGraph:
        """Return the same graph with other legal widths.

        Args:
            multiple: Legal widths of a layer are multiples of this, or the full width. Where a channel takes several
                positions of a layer, these count; if that leaves only the full width (8 dimensions in each of 3 heads),
                a smaller multiple of the channels holds.
            minimum: The narrowest legal width of a layer; a narrower group keeps its width.
            fixed: Names of groups to keep at full width; ``*`` stands for any text (``blocks.*``).
            slots: Groups to tie to one another.

        Raises:
            PlanError: A name fits no group, or multiple or minimum is below 1.
        """
        if multiple < 1 or minimum < 1:
            raise PlanError(f"channels: got multiple {multiple} and minimum {minimum}, expected at least 1")
        for pattern in fixed:
            if not any(fnmatchcase(name, pattern) for name in self.groups):
                raise PlanError(f"fixed: no channel group '{pattern}'; {nearest(pattern, self.groups)}")
        for slot in slots:
            for name in slot.groups:
                if name not in self.groups:
                    raise PlanError(f"slot {slot.name}: no channel group '{name}'; {nearest(name, self.groups)}")
        groups = {}
        for name, group in self.groups.items():
            stays = any(fnmatchcase(name, pattern) for pattern in fixed)
            floor = group.size if stays else min(group.size, -(-minimum // group.positions))
            group = replace(group, minimum=floor, multiple=multiple // gcd(multiple, group.positions))
            while not stays and group.positions > 1 < group.multiple and group.choices == (group.size,):
                finer = next(step for step in range(group.multiple - 1, 0, -1) if group.multiple % step == 0)
                group = replace(group, multiple=finer)
            groups[name] = group
        return replace(self, groups=groups, slots=tuple(slots))
