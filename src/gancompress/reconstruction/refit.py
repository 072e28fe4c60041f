"""Refit of a narrow network: its layers are solved one after another in a single pass."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils._pytree import tree_leaves

from gancompress.channels import ChannelGraph, ChannelPlan
from gancompress.errors import RefitError
from gancompress.reconstruction.equations import NormalEquations, Solution, solve_with_held_out
from gancompress.reconstruction.layers import Matrices, channel_axis, kept_outputs, rows
from gancompress.reconstruction.solvable import STAYS, in_whole_blocks, solvable_layers
from gancompress.reconstruction.sums import Point, Sum, Sums

_EQUATIONS_PER_UNKNOWN = 6
_MIN_EQUATIONS = 4096
_AT_ONCE = 2048
"""Number of equations whose design matrix is in memory at a time."""

_EXACT = 1e-5
"""Relative residual below which a layer already returns its target, up to rounding."""


@dataclass(frozen=True)
class LayerFit:
    """Result of the refit of one layer.

    Attributes:
        name: Its path.
        ridge: Chosen ridge penalty of the change, in units of the mean square of the layer's input; None if the weights
            stayed because no change reduced the error on held-out equations.
        before: Mean squared residual of the held-out equations with the weights as cut, over the mean square of the
            targets.
        after: The same with the weights solved without the held-out equations.
    """

    name: str
    ridge: float | None
    before: float
    after: float


@dataclass(frozen=True)
class RefitReport:
    """Result of a refit.

    Attributes:
        layers: Every layer that was solved, in the order of the pass.
        left: Layers that kept their weights, and the reason.
    """

    layers: tuple[LayerFit, ...]
    left: Mapping[str, str]

    def __str__(self) -> str:
        changed = sum(layer.ridge is not None for layer in self.layers)
        text = f"{changed} of {len(self.layers) + len(self.left)} layers refitted"
        if not self.left:
            return text
        name, reason = next(iter(self.left.items()))
        return f"{text}; {len(self.left)} left as cut ('{name}': {reason})"


@dataclass
class _Problem:
    """Target of one layer of the narrow network, at some positions of its output.

    Attributes:
        name: Path of the layer.
        layer: The narrow layer.
        kept: Channels of the wide layer that it keeps.
        end: The sum that its output ends in, if that sum is the target.
        shape: Shape of the wide layer's output.
        positions: Flat indices over all its axes but the channels.
        output: Output of the wide layer at these positions, [p, kept].
        total: Value of that sum in the wide network; None until it is observed.
    """

    name: str
    layer: nn.Module
    kept: Tensor
    end: Sum | None
    shape: torch.Size = torch.Size()  # noqa: RUF009
    positions: Tensor | None = None
    output: Tensor | None = None
    total: Tensor | None = None

    @property
    def num_places(self) -> int:
        """Number of positions of the wide layer's output."""
        return math.prod(self.shape) // self.shape[channel_axis(self.layer, len(self.shape))]

    def at_positions(self, tensor: Tensor) -> Tensor:
        """Return all channels of a tensor of the output's shape at the positions."""
        assert self.positions is not None
        return rows(tensor, channel_axis(self.layer, tensor.ndim), self.positions)

    def target(self, seen: Mapping[Point, Tensor]) -> Tensor:
        """Return the target of the layer, given the tensors that the narrow network has computed so far.

        If the output ends in a sum whose other terms are computed, the target is the sum minus those terms, so that
        errors of earlier layers are corrected instead of carried along.
        """
        assert self.output is not None
        if self.end is None or self.total is None or any(point not in seen for point, _ in self.end.terms):
            return self.output.double()
        rest = self.total.double()
        for point, factor in self.end.terms:
            rest -= factor * self.at_positions(seen[point]).double()
        return rest / self.end.scale


@torch.no_grad()
def refit(
    wide: nn.Module,
    narrow: nn.Module,
    graph: ChannelGraph,
    plan: ChannelPlan,
    inputs: Sequence[Tensor],
    *,
    seed: int = 0,
) -> RefitReport:
    """Solve for the weights of every layer of a narrow network, in place.

    Each linear layer and convolution, in the order of the pass, gets the weights and the bias that come closest to the
    wide layer's kept channels (or, in a residual stream, to the wide network's sum), computed from the actual outputs
    of the layers before it, which are refitted already. A ridge chosen on held-out equations keeps the weights near
    the pruned ones; a layer that no ridge improves is not changed. Norms are not fitted; batch norms that track
    statistics take the statistics of these inputs. Parametrised layers, subclasses of PyTorch's layers, and layers that
    share weights or are called several times keep their weights and are named in the report.

    If the plan leaves out residual blocks, the layers of blocks that keep at least three quarters of their weights stay
    too, and those outside make up for the missing blocks: a branch that is made to correct the stream amplifies its
    small differences, block by block, and the network then neither generalises nor trains.

    Args:
        wide: The network that was pruned, sorted so that the leading channels of every group are the kept ones.
        narrow: The network at the plan, with the module paths of the wide one; its weights may have been trained.
        graph: Graph of the wide network.
        plan: The plan.
        inputs: Arguments of the forward pass; the first axis of the first tensor counts images. All are run at once: to
            save memory, give crops.
        seed: Seed of the sampled positions and of the noise that the networks draw.

    Raises:
        RefitError: A layer has fewer equations than unknowns, an activation is not finite, or there is no layer whose
            weights can be solved for.
        PlanError: The plan does not fit the graph.

    Source: He et al., Channel Pruning for Accelerating Very Deep Neural Networks, ICCV 2017, equation 1 (step ii) and
    section 3.3 (residual targets); the ridge towards the cut weights and the choice of it are additions.
    """
    graph.validate(plan)
    sums = Sums(narrow, inputs)
    solvable, left = solvable_layers(narrow, sums.calls)
    whole = in_whole_blocks(solvable, wide, narrow, graph, plan)
    if len(whole) < len(solvable):
        left |= dict.fromkeys(whole, STAYS)
        solvable = {name: layer for name, layer in solvable.items() if name not in left}
    if not solvable:
        raise RefitError(f"refit: got a network without layers to solve for ({RefitReport((), left)}); leave refit out")
    problems = [
        _Problem(name, layer, kept_outputs(name, wide.get_submodule(name), graph, plan), sums.of(name))
        for name, layer in solvable.items()
    ]
    with _evaluating(wide, seed):
        _observe(wide, problems, inputs, seed)
    with _evaluating(narrow, seed), _taking_statistics(narrow):
        fits = _solve(narrow, problems, inputs)
    return RefitReport(tuple(fits), left)


def images_needed(narrow: nn.Module, inputs: Sequence[Any]) -> int | None:
    """Return the smallest number of images that a refit needs; None if no layer can be solved for.

    Args:
        narrow: The network at its plan.
        inputs: Arguments of the forward pass for one image like those of the refit.
    """
    sums = Sums(narrow, inputs)
    solvable, _ = solvable_layers(narrow, sums.calls)
    places: dict[str, int] = {}

    def counting(name: str) -> Callable[[nn.Module, Any, Tensor], None]:
        def count(layer: nn.Module, _: Any, output: Tensor) -> None:
            places[name] = output.numel() // output.shape[channel_axis(layer, output.ndim)]

        return count

    with ExitStack() as stack, _evaluating(narrow, seed=0), torch.no_grad():
        for name, layer in solvable.items():
            stack.callback(layer.register_forward_hook(counting(name)).remove)
        narrow(*inputs)
    return max(
        (math.ceil(Matrices(solvable[name]).num_equations_needed / each) for name, each in places.items()), default=None
    )


@contextmanager
def _evaluating(network: nn.Module, seed: int) -> Iterator[None]:
    """Set a network to evaluation mode and seed its noise; restore both afterwards."""
    modes = {module: module.training for module in network.modules()}
    network.eval()
    devices = {tensor.device for tensor in network.parameters() if tensor.is_cuda}
    with torch.random.fork_rng(devices):
        torch.manual_seed(seed)
        try:
            yield
        finally:
            for module, mode in modes.items():
                module.training = mode


@contextmanager
def _taking_statistics(network: nn.Module) -> Iterator[None]:
    """Make batch norms that track statistics normalise by those of their current input, and store them."""
    norms = [m for m in network.modules() if isinstance(m, _BatchNorm) and m.track_running_stats and m.momentum != 0]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.train()
        norm.momentum = 1.0
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum


def _first(tree: Any) -> Tensor:
    return next(leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor))


def _watch(network: nn.Module, point: Point, see: Any) -> torch.utils.hooks.RemovableHandle:
    """Call a function with the tensor at a point whenever the network computes it."""
    module = network.get_submodule(point.module)
    if point.side == "input":
        return module.register_forward_pre_hook(lambda _, a, k: see(_first((a, k))), prepend=True, with_kwargs=True)
    return module.register_forward_hook(lambda _, __, output: see(_first(output)))


def _observe(wide: nn.Module, problems: Sequence[_Problem], inputs: Sequence[Tensor], seed: int) -> None:
    """Run the wide network; store its outputs at random positions and the sums that they end in."""
    draw = torch.Generator().manual_seed(seed)
    with ExitStack() as stack:
        for problem in problems:

            def note_output(output: Tensor, problem: _Problem = problem) -> None:
                problem.shape = output.shape
                problem.positions = _positions(problem, draw).to(output.device)
                problem.output = problem.at_positions(output)[:, problem.kept]
                if not problem.output.isfinite().all():
                    raise RefitError(
                        f"refit: '{problem.name}' of the wide network returned numbers that are not finite, expected "
                        "finite ones; check the inputs and the weights"
                    )

            def note_total(total: Tensor, problem: _Problem = problem) -> None:
                if problem.positions is not None:
                    problem.total = problem.at_positions(total)[:, problem.kept]

            stack.callback(_watch(wide, Point(problem.name, "output"), note_output).remove)
            if problem.end is not None:
                stack.callback(_watch(wide, problem.end.total, note_total).remove)
        wide(*inputs)
    _check_determined(problems, len(inputs[0]))


def _positions(problem: _Problem, draw: torch.Generator) -> Tensor:
    """Draw positions of a layer's output: all of them, or enough for its number of unknowns."""
    wanted = max(_MIN_EQUATIONS, _EQUATIONS_PER_UNKNOWN * Matrices(problem.layer).num_equations_needed)
    return torch.randperm(problem.num_places, generator=draw)[:wanted].sort().values


def _check_determined(problems: Sequence[_Problem], num_images: int) -> None:
    """Raise RefitError if the inputs give too few equations; it names the layer that needs most images."""

    def images_needed(problem: _Problem) -> int:
        return math.ceil(num_images * Matrices(problem.layer).num_equations_needed / problem.num_places)

    worst = max(problems, key=images_needed)
    if (needed := images_needed(worst)) > num_images:
        raise RefitError(
            f"refit: got {num_images} inputs, which give '{worst.name}' {worst.num_places} equations for each channel, "
            f"expected {Matrices(worst.layer).num_equations_needed}, as its unknowns need; give at least {needed} "
            "inputs of this size, or larger ones"
        )


def _solve(narrow: nn.Module, problems: Sequence[_Problem], inputs: Sequence[Tensor]) -> list[LayerFit]:
    """Run the narrow network and solve each layer right before it runs."""
    seen: dict[Point, Tensor] = {}
    waiting = Counter(point for problem in problems if problem.end for point, _ in problem.end.terms)
    fits: list[LayerFit] = []
    with ExitStack() as stack:
        for point in waiting:
            stack.callback(_watch(narrow, point, lambda tensor, point=point: seen.update({point: tensor})).remove)
        for problem in problems:

            def before(layer: nn.Module, args: tuple, keywords: dict, problem: _Problem = problem) -> None:
                output = layer.forward(*args, **keywords)
                fits.append(_fit(problem, _first((args, keywords)), output, seen))
                problem.output = problem.total = None
                for point, _ in problem.end.terms if problem.end else ():
                    waiting[point] -= 1
                    if not waiting[point]:
                        seen.pop(point, None)

            stack.callback(problem.layer.register_forward_pre_hook(before, with_kwargs=True).remove)
        narrow(*inputs)
    return fits


def _fit(problem: _Problem, given: Tensor, output: Tensor, seen: Mapping[Point, Tensor]) -> LayerFit:
    """Solve for the weights of one layer and install them."""
    target = problem.target(seen)
    residual = target - problem.at_positions(output)
    if not residual.isfinite().all():
        raise RefitError(
            f"refit: '{problem.name}' of the narrow network returned numbers that are not finite, expected "
            "finite ones; cut fewer channels, or check the weights"
        )
    power = target.square().mean().item() or 1.0
    size = residual.square().mean().item() / power
    if size <= _EXACT**2:
        return LayerFit(problem.name, None, size, size)
    solution = _solution(problem, given, residual)
    if solution.ridge is not None:
        _add(problem.layer, solution.change)
    return LayerFit(problem.name, solution.ridge, solution.before / power, solution.after / power)


def _solution(problem: _Problem, given: Tensor, residual: Tensor) -> Solution:
    """Return the change of a layer's coefficients; the last quarter of the positions, thus of images, is held out."""
    matrices, positions = Matrices(problem.layer), problem.positions
    assert positions is not None
    groups, reads, _ = matrices.coefficients().shape
    grouped = residual.unflatten(1, (groups, -1)).transpose(0, 1)

    def parts(start: int, end: int) -> Iterator[tuple[Tensor, Tensor]]:
        for first in range(start, end, _AT_ONCE):
            some = slice(first, min(end, first + _AT_ONCE))
            design = matrices.design(given, problem.shape, positions[some]).double()
            if matrices.has_bias:
                design = torch.cat([design, design.new_ones(*design.shape[:2], 1)], 2)
            yield design, grouped[:, some]

    count = len(positions)
    num_fitted = count - max(1, count // 4)
    free = torch.arange(matrices.num_unknowns, device=given.device) >= reads
    fitted, held_out = NormalEquations.of(parts(0, num_fitted)), NormalEquations.of(parts(num_fitted, count))
    return solve_with_held_out(fitted, held_out, free)


def _add(layer: nn.Module, change: Tensor) -> None:
    """Add a change [groups, unknowns, outputs] to the weights and bias of a layer, in place."""
    matrices = Matrices(layer)
    weights = matrices.coefficients().double()
    reads = weights.shape[1]
    bias = cast(Tensor, layer.bias).double() + change[:, reads].flatten() if matrices.has_bias else None
    matrices.install(weights + change[:, :reads], bias)
