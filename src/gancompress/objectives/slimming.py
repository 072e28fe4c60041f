"""Slimming: training with a sparsity penalty on the scales of channels, and removal of the channels at zero.

Source: Wang et al., GAN Slimming, ECCV 2020, section 3.2; the order of updates as released: weights by Adam and scales
by SGD on the gradients of one backward pass, then the proximal step on the scales.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from gancompress.channels import ChannelGraph, lies_in, reorder
from gancompress.channels.plan import LEFT_OUT
from gancompress.errors import BudgetError, ConfigError
from gancompress.importance import BLOCK_SCORES
from gancompress.networks.cut import cut
from gancompress.networks.generator import Generator
from gancompress.networks.given import Given, arguments
from gancompress.networks.outputs import image_of
from gancompress.networks.reparametrized import reparametrized_layers
from gancompress.objectives.distillation import Distillation
from gancompress.objectives.students import Network, Running, Student
from gancompress.objectives.supervision import Supervision
from gancompress.quantization import Quantization, check_layers_stay, quantizable_layers
from gancompress.quantization.separate import separate
from gancompress.slimming import (
    NARROWEST,
    ChannelScales,
    Cost,
    Gate,
    PenaltyController,
    Removal,
    at_zero,
    find_gates,
    fold_constants,
    largest_within,
    narrowest_cost,
    plan_of,
    scaled_groups,
    weakest_within,
)
from gancompress.tasks.task import Task
from gancompress.training import Phase, Reshaped, TrainingOptions

_MOST_ABOVE = 1.1
"""Most times the budget that the penalty may leave without a warning."""


class ScaledStudent(Student):
    """A network together with the scales of its channels and blocks."""

    def __init__(self, module: nn.Module, scales: ChannelScales) -> None:
        self.module, self.scales = module, scales
        self.left_out = frozenset(gate.name for gate in scales.gates)

    def draw(self, num_images: int) -> tuple[Running]:
        """Return the network with its scales applied."""
        return (Running(self._scaled(self.module), self.module),)

    def shown(self, module: nn.Module) -> dict[str, Network]:
        """Return the network with its scales applied."""
        return {"student": self._scaled(module)}

    def _scaled(self, module: nn.Module) -> Network:
        if not self.scales.has_parameters:
            return module
        return lambda *given, **shared: torch.func.functional_call(
            module, self.scales.applied(dict(module.named_parameters())), given, shared
        )


@dataclass(frozen=True)
class PenaltySchedule:
    """Penalty schedule of a slimming run.

    Attributes:
        learning_rate: Learning rate of the scales.
        momentum: Momentum of SGD on the scales.
        penalty: Weight of the sum of the scales; the initial weight with ``steer``.
        steer: Whether the penalty follows a schedule to the limit; otherwise it is constant.
        limit: Cost not to exceed; if the living channels cost more at the end, the weakest are removed below a common
            threshold.
        unit: Name of the unit of cost.
        num_images: Images until the limit is to be reached.
        adjust_every: Images between corrections of the weight.
        remove_every: Images between removals; a channel is removed once it was dead at two of them in a row.
        training: Options of the training loop.
    """

    learning_rate: float
    momentum: float
    penalty: float
    steer: bool
    limit: float
    unit: str
    num_images: int
    adjust_every: int
    remove_every: int
    training: TrainingOptions


class Slimming(Distillation):
    """Distillation of a student that loses channels while it trains.

    Attributes:
        penalty: Current weight of the sum of the scales.
        generator: The network at its present widths, with the weights that it had at the last removal.
        graph: Its channel graph.
        cost: Cost of a plan of the graph.
        scales: Scales of its channels.
        cut: Outcome of `result`: the cost, and the largest change of an output by the last removal; empty before.
    """

    averaged = ()

    def __init__(
        self,
        generator: Generator,
        quantization: Quantization | None,
        trace: Callable[[Generator], ChannelGraph],
        cost: Callable[[ChannelGraph], Cost],
        streams: bool,
        depth: bool,
        schedule: PenaltySchedule,
        task: Task,
        supervision: Supervision,
        example: Given,
    ) -> None:
        """Take the networks and the penalty schedule.

        Args:
            generator: The network to slim.
            quantization: Its quantization while it trains; None leaves it float.
            trace: Traces the channel graph of a generator.
            cost: Takes a graph and returns the cost of its plans.
            streams: Whether residual streams lose channels too.
            depth: Whether residual blocks are left out too.
            schedule: The penalty schedule.
            task: See `Distillation`.
            supervision: See `Distillation`; terms that compare feature maps are refused, because maps lose channels.
            example: See `Distillation`.

        Raises:
            ConfigError: A term compares feature maps, no group has a scale, no block has a gate with ``depth``, or the
                network has weight norm or spectral norm; or as `Distillation`.
            BudgetError: The limit of the schedule is below the cost of the narrowest network.
        """
        maps = [name for name, term in supervision.options.weighted.items() if term.compares == "maps"]
        if maps:
            raise ConfigError(f"slim: got the term '{maps[0]}', expected none on feature maps: they lose channels")
        if computed := reparametrized_layers(generator.build()):
            raise ConfigError(
                f"slim: got weights that other tensors determine ('{computed[0]}' and {len(computed) - 1} more), "
                "expected plain ones for the scales; save the network without weight norm and spectral norm"
            )
        self._cost_of, self._schedule = cost, schedule
        self._example = arguments(supervision.teacher, example)
        self._wide, self._quantization = generator, quantization
        self._wide_graph = trace(generator)
        self._scaled_groups = scaled_groups(generator.build(), self._wide_graph, self._example, streams)
        self._gates = self._found_gates(supervision.options.fixed) if depth else ()
        self._install(generator, self._wide_graph)
        if not self.scales.names:
            advice = " or ".join(self._untried(streams, depth) or ["choose another network"])
            raise ConfigError(f"slim: found no channel group to prune among {len(self.graph.groups)}; {advice}")
        student = ScaledStudent(self._module, self.scales)
        super().__init__(task, student, supervision, example)
        self._scaled = student
        self.modules["scales"] = self.scales
        if self.scales.has_parameters:
            self.phases = tuple(
                replace(p, modules=(*p.modules, "scales")) if "student" in p.modules else p for p in self.phases
            )
        full = self.cost(self.graph.full_plan())
        if (smallest := narrowest_cost(self.graph, self.scales.names, self.cost)) > schedule.limit:
            raise BudgetError(
                f"budget: got {schedule.limit:,.0f} {schedule.unit}, but the smallest reachable cost is "
                f"{smallest:,.0f} {schedule.unit}: the rest belongs to channels that are not pruned; "
                + " or ".join(("raise the budget", *self._untried(streams, depth)))
            )
        self._controller = PenaltyController(schedule.penalty, full, schedule.limit)
        self.penalty = schedule.penalty
        self._were_dead: dict[str, Tensor] = {}
        self._removals: list[tuple[float, ...]] = []
        self.cut: dict[str, float] = {}

    @property
    def removals(self) -> list[dict[str, float]]:
        """Removals of dead channels so far: images trained on, cost after it, and largest change of an output."""
        return [dict(zip(("num_images", "cost", "change"), each, strict=True)) for each in self._removals]

    @property
    def tensors(self) -> dict[str, Tensor]:
        """The student's parameters by name."""
        return dict(self._module.named_parameters())

    def optimizers(self, phase: Phase, options: TrainingOptions) -> dict[str, torch.optim.Optimizer]:
        """Return Adam for the weights and SGD for the scales."""
        if "student" not in phase.modules:
            return super().optimizers(phase, options)
        tensors, schedule = self.tensors, self._schedule
        gates = self.scales.rates(schedule.learning_rate)
        scales = [*(tensors[name] for name in self.scales.gammas()), *self.scales.readers.values()]
        chosen = {id(parameter) for parameter in (*scales, *self.scales.parameters())}
        made: dict[str, torch.optim.Optimizer] = {
            "generator": options.adam([p for p in self.trained(phase) if id(p) not in chosen])
        }
        groups = [{"params": scales, "lr": schedule.learning_rate}, *gates]
        if scales or gates:  # none are left once every group is at its narrowest
            made["generator.scales"] = torch.optim.SGD(groups, momentum=schedule.momentum)
        return made

    def after_step(self, num_images: int, learning_rate_factor: float) -> Mapping[str, Reshaped]:
        """Take the proximal step; at their intervals correct the penalty and remove dead channels."""
        schedule, magnitudes = self._schedule, self.scales.magnitudes(self.tensors)
        amount = wanted = self.penalty * schedule.learning_rate * learning_rate_factor
        if schedule.steer:
            amount = largest_within(self.graph, magnitudes, self.cost, schedule.limit, wanted)
        self.scales.shrink(self.tensors, amount, wanted)
        if schedule.steer and schedule.training.crosses(num_images, schedule.adjust_every):
            cost = self.cost(plan_of(self.graph, at_zero(self.scales.magnitudes(self.tensors))))
            self.penalty = self._controller.update(num_images / schedule.num_images, cost)
        if not schedule.training.crosses(num_images, schedule.remove_every):
            return {}
        dead = {name: gone.cpu() for name, gone in self.scales.dead(self.tensors).items()}
        still = {name: gone & self._were_dead.get(name, torch.zeros_like(gone)) for name, gone in dead.items()}
        removal = Removal.of(self.graph, still)
        self._were_dead = removal.living(dead)
        if removal.is_empty():
            return {}
        before = self._output()
        changes = self._remove(removal)
        change = (self._output() - before).abs().max().item()
        self._removals.append((num_images, self.cost(self.graph.full_plan()), change))
        return changes

    def result(
        self, example: Given, say: Callable[[str], None] = lambda line: None
    ) -> tuple[Generator, Quantization | None]:
        """Return the slimmed network, every scale merged into its weights, and its quantization.

        Args:
            example: Inputs [b, c, h, w] from which the mean of each removed channel is measured.
            say: Receives a warning if the penalty did not reach the budget.
        """
        limit = self._schedule.limit
        magnitudes, before = self.scales.magnitudes(self.tensors), self._output()
        gone, zeros = self.scales.dead(self.tensors), at_zero(magnitudes)
        alive = self.cost(plan_of(self.graph, zeros))
        if self.cost(plan_of(self.graph, gone)) > limit:
            gone = zeros if alive <= limit else weakest_within(self.graph, magnitudes, self.cost, limit)
        self._merge(self.scales.names)
        removal = Removal.of(self.graph, gone)
        self.uncut, _ = self._sorted(removal)
        given = arguments(self._module, example)
        self._install(*self._narrowed(removal, set(self.graph.groups), given, self.tensors))
        self._show()
        change = (self._output() - before.cpu()).abs().max().item()
        self.cut = {"alive": alive, "cost": self.cost(self.graph.full_plan()), "change": change}
        if self.shortfall is not None:
            say(f"warning: {self.shortfall}")
        return self.generator, self._quantization

    @property
    def shortfall(self) -> str | None:
        """Warning, once there is a `result`, that the penalty did not reach the budget; None if it did, or had none."""
        schedule, alive = self._schedule, self.cut["alive"]
        if not schedule.steer or alive <= _MOST_ABOVE * schedule.limit:
            return None
        return (
            f"slim: the penalty came to {alive:,.0f} {schedule.unit} alone, not to {schedule.limit:,.0f}; the rest was "
            f"cut at once at the end, which changed an output by up to {self.cut['change']:.2g}: give slimming more "
            "images, a larger penalty, or smaller adjust_every and remove_every"
        )

    def shape(self) -> dict[str, Any]:
        """Return the remaining widths, and the blocks left out if any are."""
        return json.loads(self.graph.full_plan().to_json())

    def take_shape(self, shape: Mapping[str, Any]) -> None:
        """Narrow the initial network to what `shape` returned."""
        widths = {name: width for name, width in shape.items() if name != LEFT_OUT}
        plan = self._wide_graph.plan(widths, shape.get(LEFT_OUT, ()))
        self._quantization = self._quantization and self._quantization.within(plan)
        self._install(cut(self._wide, self._wide_graph, plan), self._wide_graph.narrowed(plan))
        self._show()
        self.modules["student"] = self._module
        self.modules["scales"] = self.scales

    def memory(self) -> dict[str, Tensor]:
        """Return the penalty, the channels that were dead at the last removal, and the removals so far."""
        weights = torch.tensor([self.penalty, self._controller.weight], dtype=torch.float64)
        removals = {"removals": torch.tensor(self._removals, dtype=torch.float64)} if self._removals else {}
        return {"penalty": weights, **removals, **{f"dead/{name}": gone for name, gone in self._were_dead.items()}}

    def remember(self, memory: Mapping[str, Tensor]) -> None:
        """Restore what `memory` returned."""
        self.penalty, self._controller.weight = memory["penalty"].tolist()
        dead = {name.removeprefix("dead/"): gone for name, gone in memory.items() if name.startswith("dead/")}
        self._were_dead = {name: gone.cpu() for name, gone in dead.items()}
        self._removals = [tuple(each) for each in memory["removals"].tolist()] if "removals" in memory else []

    def _found_gates(self, fixed: Sequence[str]) -> tuple[Gate, ...]:
        """Return the gates of blocks without fixed modules. Raises ConfigError if there are none."""
        module, graph = self._wide.build(), self._wide_graph
        found = find_gates(module, graph, self._example)
        gates = [gate for gate in found if not any(lies_in(p, gate.name) or lies_in(gate.name, p) for p in fixed)]
        if not gates:
            raise ConfigError(
                f"slim: depth: found no residual block with a layer that scales all it adds, among {len(graph.blocks)} "
                "that can be left out; leave depth out, or choose another network"
            )
        if self._quantization is not None:
            shortest = graph.full_plan().leaving_out(gate.name for gate in gates)
            check_layers_stay(self._quantization.options, list(quantizable_layers(module)), shortest.holds)
        strengths = BLOCK_SCORES.find("output_error")(module, [gate.name for gate in gates], [self._example])
        return tuple(replace(gate, strength=strengths[gate.name]) for gate in gates)

    def _untried(self, streams: bool, depth: bool) -> list[str]:
        """Return the options that would let more channels or blocks of the network leave, and are not set."""
        graph, advice = self._wide_graph, []
        if any(group.minimum > NARROWEST for group in graph.groups.values()):
            advice.append("lower minimum")
        everywhere = scaled_groups(self._wide.build(), graph, self._example, streams=True)
        if not streams and len(everywhere) > len(self._scaled_groups):
            advice.append("allow residual streams (streams: true)")
        if graph.blocks and not depth:
            advice.append("leave out blocks (depth: true)")
        return advice

    @torch.no_grad()
    def _output(self) -> Tensor:
        module = self._module.eval()
        device = next(module.parameters()).device
        made = self._scaled.shown(module)["student"](*(each.to(device) for each in self._example))
        module.train()
        return image_of(made)

    def _install(self, generator: Generator, graph: ChannelGraph) -> None:
        self.generator, self.graph, self._module = generator, graph, generator.build()
        prunable = {name for name, group in graph.groups.items() if group.size > group.minimum}
        groups = [group.within(graph) for group in self._scaled_groups if group.name in prunable]
        gates = [gate.within(graph) for gate in self._gates if gate.name not in graph.left_out]
        self.scales = ChannelScales(self._module, groups, gates)
        self.cost = self._cost_of(self.graph)
        if self._quantization is not None:
            self._quantization.attach(self._module)

    def _show(self) -> None:
        self._scaled.module, self._scaled.scales = self._module, self.scales

    @torch.no_grad()
    def _merge(self, names: Container[str]) -> None:
        """Multiply the scales of groups and blocks into the weights, and drop those scales."""
        for name, tensor in self.scales.applied(self.tensors, names).items():
            self._module.get_parameter(name).copy_(tensor)

    def _remove(self, removal: Removal) -> dict[str, Reshaped]:
        """Remove the channels and blocks whose scale is 0."""
        before, device = self.scales, next(self._module.parameters()).device
        narrowest = {name for name, group in self.graph.groups.items() if removal.plan.widths[name] == group.minimum}
        self._merge(narrowest)  # they have no scale from now on
        by_norms = {group.name for group in before.groups if group.kind == "norm"}
        gated = before.applied(self.tensors, {gate.name for gate in before.gates})
        self._install(*self._narrowed(removal, by_norms, self._example, gated))
        self._module.to(device)
        self.scales.to(device)
        self.scales.take(before, removal)
        self._show()
        return {
            "student": Reshaped(self._module, removal),
            "scales": Reshaped(self.scales, lambda tensors: before.kept(tensors, removal)),
        }

    def _narrowed(
        self, removal: Removal, folded: Container[str], example: Sequence[Tensor], tensors: Mapping[str, Tensor]
    ) -> tuple[Generator, ChannelGraph]:
        """Return the student without what is removed; in the folded groups the mean of a channel moves into biases."""
        fold_constants(self._module.eval(), removal, example, folded, tensors)
        whole, self._quantization = self._sorted(removal)
        self._quantization = self._quantization and self._quantization.within(removal.plan)
        return cut(whole, self.graph, removal.plan), self.graph.narrowed(removal.plan)

    def _sorted(self, removal: Removal) -> tuple[Generator, Quantization | None]:
        """Return the student with the kept channels first in each group, and its quantization."""
        options = self._quantization and self._quantization.options
        whole, quantization = separate(self._module, self.generator, options)
        state = reorder(whole.state, self.graph, removal.order)
        return whole.with_state(state), quantization
