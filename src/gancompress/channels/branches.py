"""Re-parameterised blocks, found in a recorded forward pass: modules of convolutions that may sum to a single one.

A candidate maps one tensor to another by convolutions, batch norms in evaluation, sums, constant factors and padding
alone. Its values decide whether one convolution computes the same: see `gancompress.networks.fold_branches`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch

from gancompress.channels.readers import Readers
from gancompress.channels.recording import ModuleCall, RecordedOp, Recording, Ref


@dataclass(frozen=True)
class Branches:
    """A module whose branches may sum to one convolution.

    Attributes:
        path: Its path.
        tail: Name of the child that it calls last, on the sum of its branches, such as an activation; empty for none.
        start: Index of its first operation in the recorded pass.
        end: Index after the last one of its branches.
        in_channels: Channels of its input, [b, channels, *spatial].
        out_channels: Channels of its output.
        stride: Largest stride of its convolutions, along each spatial axis.
        kernel_size: Largest kernel of its convolutions, dilation included, along each spatial axis.
        reach: Sum of the sizes of all its kernels less one and of all its padding, the most along any axis.
        groups: Common groups of its convolutions.
        num_weights: Weights of its convolutions, without biases.
        shifts: Whether it adds anything: a bias, or the shift of a batch norm.
    """

    path: str
    tail: str
    start: int
    end: int
    in_channels: int
    out_channels: int
    stride: tuple[int, ...]
    kernel_size: tuple[int, ...]
    reach: int
    groups: int
    num_weights: int
    shifts: bool


def find_branches(module: torch.nn.Module, recording: Recording) -> list[Branches]:
    """Return the modules of a recorded pass whose branches may sum to one convolution, outer ones before inner ones.

    Args:
        module: The module that was recorded.
        recording: The recording.
    """
    readers, found = Readers(module, recording), {}
    for call in recording.calls:  # in the order of return: of modules with the same branches the innermost counts
        if call.path and call.returns_tensor and readers.allow(call, frozenset(), replaced=True):
            branches = _branches(recording, call) or _branches_before_tail(recording, call)
            if branches is not None:
                found.setdefault((branches.start, branches.end), branches)
    return list(found.values())[::-1]


_CONVOLUTION = "aten.convolution"
_POOLS = {"aten.avg_pool2d"}
_NORMS = {"aten.native_batch_norm", "aten.cudnn_batch_norm"}
_SUMS = {"aten.add", "aten.add_", "aten.sub", "aten.sub_"}
_FACTORS = {"aten.mul", "aten.mul_", "aten.div", "aten.div_"}
_PADS = {"aten.constant_pad_nd"}
_WRITES = {"aten.copy_", "aten.fill_"}
_VIEWS = {"aten.clone", "aten.alias", "aten.detach", "aten.slice", "aten.unsqueeze", "aten.squeeze", "aten.neg"}
_OF_FIRST = {_CONVOLUTION, *_POOLS, *_NORMS, *_PADS, *_VIEWS}
"""Operations of which only the first argument may depend on the input."""


def _branches_before_tail(recording: Recording, call: ModuleCall) -> Branches | None:
    """Return the branches of a call whose output is that of a child that is called last; None without one."""
    children = {child: name for name, child in call.module.named_children()}
    last = next((c for c in recording.calls if c.module in children and c.end == call.end and c.start < c.end), None)
    if last is None or last.start <= call.start or last.output != call.output or not last.returns_tensor:
        return None
    made = {ref for op in recording.ops[call.start : last.start] for ref in op.outputs} | {call.input}
    if any(ref in made and ref != last.input for op in recording.ops[last.start : last.end] for ref in op.inputs):
        return None
    return _branches(recording, replace(call, output=last.input, end=last.start), children[last.module])


def _branches(recording: Recording, call: ModuleCall, tail: str = "") -> Branches | None:
    """Return the branches of a call; None if it computes anything else, or a single branch of one convolution."""
    shapes = [recording.tensors[ref.index].shape for ref in (call.input, call.output)]
    if len(shapes[0]) not in (3, 4) or len(shapes[0]) != len(shapes[1]):
        return None
    flow = _affine_flow(recording, call)
    if flow is None:
        return None
    convolutions = [op for op in flow.dependent if op.name == _CONVOLUTION]
    merges = len(convolutions) > 1 or flow.num_merged or any(op.name == _CONVOLUTION for op in flow.constant)
    if not convolutions or not merges:
        return None
    weights = [recording.tensors[op["weight"].index].shape for op in convolutions]
    axes = range(len(shapes[0]) - 2)
    sizes = [
        [op["dilation"][axis] * (shape[2 + axis] - 1) + 1 for axis in axes]
        for op, shape in zip(convolutions, weights, strict=True)
    ]
    pools = [op for op in flow.dependent if op.name in _POOLS]
    reach = sum(max(size) - 1 + max(op["padding"]) for op, size in zip(convolutions, sizes, strict=True))
    reach += sum(max(op["kernel_size"]) - 1 + max(op["padding"]) for op in pools)
    reach += sum(max(map(abs, op["pad"])) for op in flow.dependent if op.name in _PADS)
    return Branches(
        path=call.path,
        tail=tail,
        start=call.start,
        end=call.end,
        in_channels=shapes[0][1],
        out_channels=shapes[1][1],
        stride=tuple(max(op["stride"][axis] for op in convolutions) for axis in axes),
        kernel_size=tuple(max(size[axis] for size in sizes) for axis in axes),
        reach=reach,
        groups=math.gcd(*(op["groups"] for op in convolutions)),
        num_weights=sum(map(math.prod, weights)),
        shifts=any(op.name in _NORMS or op["bias"] is not None for op in (*convolutions, *_norms_of(flow))),
    )


@dataclass(frozen=True)
class _Flow:
    """Operations of a call: those that depend on its input, and the constant ones; number of sums of two branches."""

    dependent: list[RecordedOp]
    constant: list[RecordedOp]
    num_merged: int


def _norms_of(flow: _Flow) -> list[RecordedOp]:
    return [op for op in flow.dependent if op.name in _NORMS]


def _affine_flow(recording: Recording, call: ModuleCall) -> _Flow | None:
    """Follow the input of a call; None if something is not affine, is random, or reads what was made elsewhere."""

    def storage(ref: Ref) -> int:
        return recording.tensors[ref.index].storage

    following, made, flow, merged = {storage(call.input)}, {call.input}, _Flow([], [], 0), 0
    for op in recording.ops[call.start : call.end]:
        held = (ref for ref in op.inputs if recording.tensors[ref.index].origin not in ("parameter", "constant"))
        if not made.issuperset(held) or torch.Tag.nondeterministic_seeded in op.target.tags:
            return None
        made.update(op.outputs)
        dependent = [ref for ref in op.inputs if storage(ref) in following]
        if not dependent:
            flow.constant.append(op)
            continue
        if not _is_affine(op, dependent):
            return None
        flow.dependent.append(op)
        following.update(map(storage, op.outputs))
        merged += op.name in _SUMS and len(dependent) > 1
    if storage(call.output) not in following:
        return None
    return _Flow(flow.dependent, flow.constant, merged)


def _is_affine(op: RecordedOp, dependent: list[Ref]) -> bool:
    """Return whether an operation is affine in the arguments that depend on the input."""
    if op.name in _SUMS | _WRITES:
        return True
    first = op.inputs[0]
    if op.name in _FACTORS:
        return len(dependent) == 1 and (dependent[0] == first or op.name.startswith("aten.mul"))
    if (op.name == _CONVOLUTION and op["transposed"]) or (op.name in _NORMS and op["training"]):
        return False
    return op.name in _OF_FIRST and dependent == [first]
