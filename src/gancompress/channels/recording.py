"""Recording of one forward pass as a list of ATen operations.

The pass runs on fake tensors, which have shapes but no values: a 256x256 generator is recorded in a fraction of a
second, and no use of a value goes unnoticed (turning a fake tensor into a number or an array raises).
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode, unset_fake_temporarily
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only
from torch.utils.weak import WeakTensorKeyDictionary

from gancompress.channels.skeleton import copy_structure, named_tensors


@dataclass(frozen=True)
class Ref:
    """Reference to a recorded tensor, by its position in `Recording.tensors`."""

    index: int


@dataclass(frozen=True)
class RecordedTensor:
    """Shape and storage of a recorded tensor.

    Attributes:
        shape: Sizes when recorded.
        itemsize: Bytes of an element.
        storage: Number of the storage that it lies in; views share one.
        origin: ``parameter`` (buffers too), ``input``, ``constant`` (a tensor that the module holds as a plain
            attribute) or ``op``.
        name: State-dict name of a parameter or buffer, else empty.
    """

    shape: tuple[int, ...]
    itemsize: int
    storage: int
    origin: str
    name: str = ""


@dataclass(frozen=True)
class RecordedOp:
    """One ATen operation.

    Attributes:
        target: The overload, such as ``aten.convolution.default``.
        arguments: Every argument by its name in the operator's schema, tensors as `Ref`.
        outputs: The tensors it returned; an in-place operation returns one that is already recorded.
        writes: Tensors that it changes in place.
        module: Path of the innermost module that was running.
        alive: Storages of inputs and activations alive right after it.
    """

    target: torch._ops.OpOverload
    arguments: Mapping[str, Any]
    outputs: tuple[Ref, ...]
    writes: tuple[Ref, ...]
    module: str
    alive: frozenset[int]

    def __getitem__(self, argument: str) -> Any:
        return self.arguments[argument]

    @cached_property
    def name(self) -> str:
        """Operation without its overload: ``aten.convolution``."""
        return str(self.target.overloadpacket)

    @cached_property
    def inputs(self) -> tuple[Ref, ...]:
        """Tensor arguments, including those inside lists."""
        return _refs_in(self.arguments.values())


@dataclass(frozen=True)
class ModuleCall:
    """Call of a submodule.

    Attributes:
        path: Its path.
        module: The module.
        input: Its first tensor input.
        output: Its first tensor output.
        returns_tensor: Whether it returned one tensor.
        start: Number of operations that were recorded before the call.
        end: Number of operations that were recorded by its end.
    """

    path: str
    module: nn.Module
    input: Ref
    output: Ref
    returns_tensor: bool
    start: int
    end: int


@dataclass(frozen=True)
class Failure:
    """Failure of a forward pass: path of the module that raised, tensors of the last operation or call, exception."""

    module: str
    at_hand: tuple[Ref, ...]
    error: Exception


@dataclass
class Recording:
    """Recorded forward pass; ``failure`` is set if it raised."""

    tensors: list[RecordedTensor] = field(default_factory=list)
    ops: list[RecordedOp] = field(default_factory=list)
    calls: list[ModuleCall] = field(default_factory=list)
    parameters: dict[str, Ref] = field(default_factory=dict)
    module_types: dict[str, type[nn.Module]] = field(default_factory=dict)
    outputs: tuple[Ref, ...] = ()
    failure: Failure | None = None


@cache
def _signature(func: torch._ops.OpOverload) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the arguments of an operator with their defaults, and the names of those that it changes in place."""
    arguments = func._schema.arguments
    written = tuple(a.name for a in arguments if a.alias_info is not None and a.alias_info.is_write)
    return {a.name: a.default_value for a in arguments}, written


def _refs_in(values: Iterable[Any]) -> tuple[Ref, ...]:
    """Return the references among arguments of an operator, which are values or flat lists of them."""
    lists = (value if isinstance(value, list) else (value,) for value in values)
    return tuple(each for value in lists for each in value if isinstance(each, Ref))


class _Recorder(TorchDispatchMode):
    """Dispatch mode that records every operation. Keeps no tensor alive."""

    def __init__(self, recording: Recording) -> None:
        super().__init__()
        self.recording = recording
        self.stack: list[str] = [""]
        self.at_hand: tuple[Ref, ...] = ()
        self._refs = WeakTensorKeyDictionary()
        self._storages: dict[StorageWeakRef, int] = {}
        self._activations: dict[int, StorageWeakRef] = {}

    def ref(self, tensor: Tensor, origin: str, name: str = "") -> Ref:
        """Return the reference of a tensor, after recording it if it is new."""
        known = self._refs.get(tensor)
        if known is not None:
            return known
        storage_ref = StorageWeakRef(tensor.untyped_storage())
        if storage_ref not in self._storages:
            self._storages[storage_ref] = len(self._storages)
            if origin in ("input", "op"):
                self._activations[self._storages[storage_ref]] = storage_ref
        storage = self._storages[storage_ref]
        self.recording.tensors.append(RecordedTensor(tuple(tensor.shape), tensor.element_size(), storage, origin, name))
        self._refs[tensor] = reference = Ref(len(self.recording.tensors) - 1)
        return reference

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func.namespace == "prim":
            return func(*args, **kwargs)
        args = with_masks_as_numbers(func, args)
        defaults, written = _signature(func)
        arguments = defaults | dict(zip(defaults, args, strict=False)) | kwargs
        for name, value in arguments.items():
            if isinstance(value, Tensor):
                arguments[name] = self.ref(value, "constant")
            elif isinstance(value, list | tuple) and any(isinstance(each, Tensor) for each in value):
                arguments[name] = [self.ref(each, "constant") if isinstance(each, Tensor) else each for each in value]
        self.at_hand = _refs_in(arguments.values())
        result = func(*args, **kwargs)
        leaves = (result,) if isinstance(result, Tensor) else tree_leaves(result)
        outputs = tuple(self.ref(t, "op") for t in leaves if isinstance(t, Tensor))
        writes = _refs_in(arguments[name] for name in written)
        alive = frozenset(s for s, storage in self._activations.items() if not storage.expired())
        self._activations = {s: self._activations[s] for s in alive}
        self.recording.ops.append(RecordedOp(func, arguments, outputs, writes, self.stack[-1], alive))
        return result

    @contextmanager
    def watching(self, module: nn.Module) -> Iterator[None]:
        """Track the path of the running submodule, and record module calls."""
        entered: list[tuple[tuple[Ref, ...], int]] = []

        def enter(path: str):
            def hook(_: nn.Module, args: tuple, keywords: dict) -> None:
                self.stack.append(path)
                given = tree_leaves((args, keywords))
                self.at_hand = tuple(self.ref(t, "constant") for t in given if isinstance(t, Tensor))
                entered.append((self.at_hand, len(self.recording.ops)))

            return hook

        def leave(path: str):
            def hook(submodule: nn.Module, _: tuple, result: Any) -> None:
                self.stack.pop()
                inputs, start = entered.pop()
                outputs = [self.ref(t, "op") for t in tree_leaves(result) if isinstance(t, Tensor)]
                if inputs and outputs:
                    alone, end = isinstance(result, Tensor), len(self.recording.ops)
                    self.recording.calls.append(ModuleCall(path, submodule, inputs[0], outputs[0], alone, start, end))

            return hook

        handles = []
        for path, submodule in module.named_modules():
            self.recording.module_types[path] = type(submodule)
            handles.append(submodule.register_forward_pre_hook(enter(path), prepend=True, with_kwargs=True))
            handles.append(submodule.register_forward_hook(leave(path)))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()


def record(module: nn.Module, inputs: Sequence[Any], shapes: Mapping[str, tuple[int, ...]] | None = None) -> Recording:
    """Record one forward pass in eval mode.

    Args:
        module: Any module; neither it nor its tensors are changed.
        inputs: Arguments of its forward pass; only the shapes of tensors matter.
        shapes: Shapes of parameters and buffers that differ from the module's own, by state-dict name.

    Returns:
        The recording, with ``failure`` set if the forward pass raised.
    """
    recording = Recording()
    structure, tensors, fake_inputs, fake_mode = on_fake_tensors(module, inputs, shapes)
    recorder = _Recorder(recording)
    recording.parameters = {name: recorder.ref(t, "parameter", name) for name, t in tensors.items()}
    for leaf in tree_leaves(fake_inputs):
        if isinstance(leaf, Tensor):
            recorder.ref(leaf, "input")
    watched = recorder.watching(structure)
    with torch.inference_mode(False), torch.no_grad(), in_plain_steps(), fake_mode, watched, recorder:
        try:
            result = torch.func.functional_call(structure, tensors, fake_inputs)
            recording.outputs = tuple(recorder.ref(leaf, "op") for leaf in _tensors_of(result))
        except Exception as error:
            recording.failure = Failure(recorder.stack[-1], recorder.at_hand, error)
    return recording


def with_masks_as_numbers(func: torch._ops.OpOverload, args: tuple[Any, ...]) -> tuple[Any, ...]:
    """Replace masks that pick positions by numbers of as many positions as there are.

    Values decide how many positions a mask picks, and fake tensors have none. All of them is the most it can be.
    """
    if func is not torch.ops.aten.index.Tensor or not any(_is_mask(index) for index in args[1]):
        return args
    numbers: list[Tensor | None] = []
    for index in args[1]:
        if not _is_mask(index):
            numbers.append(index)
            continue
        picked = args[0].shape[len(numbers) : len(numbers) + index.dim()]
        if picked != index.shape:
            raise IndexError(f"a mask {tuple(index.shape)} picks from axes {tuple(picked)}")
        numbers += [index.new_empty(index.numel(), dtype=torch.int64)] * index.dim()
    return args[0], numbers


def _is_mask(index: Tensor | None) -> bool:
    return index is not None and index.dtype == torch.bool


@contextmanager
def in_plain_steps() -> Iterator[None]:
    """Let PyTorch's attention run as products and a softmax, and keep torch from logging what fake tensors raise."""
    logger, fast = logging.getLogger("torch._subclasses.fake_tensor"), torch.backends.mha.get_fastpath_enabled()
    before, logger.disabled = logger.disabled, True
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        logger.disabled = before
        torch.backends.mha.set_fastpath_enabled(fast)


def on_fake_tensors(
    module: nn.Module, inputs: Sequence[Any], shapes: Mapping[str, tuple[int, ...]] | None
) -> tuple[nn.Module, dict[str, Tensor], Any, FakeTensorMode]:
    """Return a copy of the module in eval mode, and fake tensors for its state and its inputs with their mode.

    Args: see `record`.
    """
    structure = copy_structure(module).eval()
    fake_mode = FakeTensorMode(allow_non_fake_inputs=True)
    own = named_tensors(structure)
    with torch.inference_mode(False), torch.no_grad():
        tensors = {
            name: _fake_of_shape(own[name], shape, fake_mode) for name, shape in (shapes or {}).items() if name in own
        }
    with torch.inference_mode(False), torch.no_grad(), fake_mode:
        tensors = {
            name: tensors[name] if name in tensors else _fake(own[name], fake_mode, keeps_value=True) for name in own
        }
        for name, tensor in own.items():  # a matrix product takes other steps for weights that need no gradient
            tensors[name].requires_grad_(tensor.requires_grad)
        fake_inputs = tree_map_only(Tensor, lambda tensor: _fake(tensor, fake_mode), tuple(inputs))
    return structure, tensors, fake_inputs, fake_mode


def _fake(tensor: Tensor, mode: FakeTensorMode, *, keeps_value: bool = False) -> Tensor:
    """Make a fake tensor. An inference tensor is cloned first, because it would record other operations.

    A single number of the module keeps its value, which no input decides.
    """
    fake = mode.from_tensor(tensor.clone() if tensor.is_inference() else tensor)
    if keeps_value and tensor.numel() == 1 and tensor.device.type == "cpu":
        with unset_fake_temporarily():
            fake.constant = tensor.detach().clone()  # type: ignore[attr-defined]
        mode.fake_tensor_converter.add_constant_storage_mapping(fake)  # type: ignore[arg-type]
    return fake


def _fake_of_shape(tensor: Tensor, shape: tuple[int, ...], mode: FakeTensorMode) -> Tensor:
    """Make a contiguous fake tensor of another shape, for which no weights are read."""
    return FakeTensor(mode, torch.empty(shape, dtype=tensor.dtype, device="meta"), tensor.device)


def _tensors_of(result: Any) -> list[Tensor]:
    """Return the tensors that a forward pass returned; raise TypeError for results that could hide one."""
    leaves = tree_leaves(result)
    hiding = [leaf for leaf in leaves if not isinstance(leaf, Tensor | int | float | str | bool | None)]
    tensors = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
    if hiding or not tensors:
        got = f"a {type(hiding[0]).__name__}" if hiding else "no tensor"
        raise TypeError(f"the forward pass returned {got}, not tensors or tuples, lists and dictionaries of them")
    return tensors
