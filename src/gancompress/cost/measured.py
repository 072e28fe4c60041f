"""Cost of a network measured by running it once, without a graph or a plan; uncounted parts are reported.

Layers are counted by hooks on the modules, from the shapes of their weight and their output. The cheap operations
that code may also use without a module (products, poolings, ...), the live storages, and the work outside every known
layer are observed at the operations that PyTorch dispatches.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.nn.modules.instancenorm import _InstanceNorm
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_leaves, tree_map_only

from gancompress.cost.conventions import Macs


@dataclass(frozen=True)
class LayerCost:
    """Call of a known layer, or of a cheap operation between the layers.

    Attributes:
        path: Path of the module that ran, "(root)" for the measured module itself.
        type: Its class, or the name of the operation.
        macs: MACs of this call.
        parameters: Number of its parameters that no earlier entry has counted, so that the entries add up.
        output_shape: Shape of its output.
    """

    path: str
    type: str
    macs: Macs
    parameters: int
    output_shape: tuple[int, ...]


@dataclass(frozen=True)
class MeasuredCost:
    """Cost of one run.

    Attributes:
        macs: The sum over ``layers``, for the batch of the inputs.
        parameters: Elements of all parameters, trainable or not, a shared one once; buffers are not parameters.
        parameter_bytes: The same in bytes.
        peak_activation_bytes: The largest total of the storages that were alive together right after an operation and
            are no parameter or buffer. Inputs and outputs count; temporary buffers inside an operation do not.
        layers: Counted calls, in the order in which they ran.
        uncounted: One line for each part that ``macs`` lacks: its module and its kind. Empty if nothing is missing.
    """

    macs: Macs
    parameters: int
    parameter_bytes: int
    peak_activation_bytes: int
    layers: tuple[LayerCost, ...]
    uncounted: tuple[str, ...]


def measure(module: nn.Module, inputs: tuple[Tensor, ...]) -> MeasuredCost:
    """Run the module once, in evaluation mode and without gradients, and count its cost.

    A layer that runs twice costs twice. Training flags, hooks and buffers are restored.

    Args:
        module: Any module; on the meta device it costs no time and no memory.
        inputs: Its positional arguments, of any shape and value that it accepts.

    Returns:
        Its cost for these inputs.
    """
    parameters = list(module.parameters())
    # Inference mode would hide the operations inside composite ones.
    with torch.inference_mode(False), torch.no_grad(), evaluation_mode(module):
        inputs = tree_map_only(Tensor, lambda t: t.clone() if t.is_inference() else t, inputs)
        run = _Run(module, inputs)
        with run.hooks(), run:
            module(*inputs)
    return MeasuredCost(
        macs=sum((layer.macs for layer in run.layers), Macs(0, 0, 0)),
        parameters=sum(parameter.numel() for parameter in parameters),
        parameter_bytes=sum(parameter.numel() * parameter.element_size() for parameter in parameters),
        peak_activation_bytes=run.live.peak_bytes,
        layers=tuple(run.layers),
        uncounted=(*_parameters_without_rule(module), *dict.fromkeys(run.missed)),
    )


@contextmanager
def evaluation_mode(module: nn.Module) -> Iterator[None]:
    """Set the module to evaluation mode, and restore the mode of every submodule afterwards."""
    training = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, flag in training:
            part.training = flag


# Layers, counted by hooks. Sizes come from the tensors, because the attributes of a layer may be out of date.
_Rule = Callable[[Any, Tensor, Tensor], Macs]


def _convolution(layer: _ConvNd, given: Tensor, output: Tensor) -> Macs:
    macs = output.numel() * prod(layer.weight.shape[1:])
    return Macs(macs, macs, 0)


def _transposed_convolution(layer: _ConvTransposeNd, given: Tensor, output: Tensor) -> Macs:
    axes = len(layer.kernel_size)
    true = given.numel() * prod(layer.weight.shape[1:])
    return Macs(true, true // prod(given.shape[-axes:]) * prod(output.shape[-axes:]), 0)


def _linear(layer: nn.Linear, given: Tensor, output: Tensor) -> Macs:
    macs = output.numel() * layer.weight.shape[1]
    return Macs(macs, macs, 0)


def _instance_norm(layer: _InstanceNorm, given: Tensor, output: Tensor) -> Macs:
    return Macs(0, 0, output.numel())


def _other_norm(layer: nn.Module, given: Tensor, output: Tensor) -> Macs:
    return Macs(0, 0, output.numel() if layer.weight is not None else 0)


def _free(layer: nn.Module, given: Tensor, output: Tensor) -> Macs:
    return Macs(0, 0, 0)


_LAYERS: Mapping[type[nn.Module], _Rule] = {  # the first matching type decides
    _ConvTransposeNd: _transposed_convolution,
    _ConvNd: _convolution,
    nn.Linear: _linear,
    _InstanceNorm: _instance_norm,
    _BatchNorm: _other_norm,
    nn.GroupNorm: _other_norm,
    nn.LayerNorm: _other_norm,
    nn.RMSNorm: _other_norm,
    nn.PReLU: _free,
    nn.Embedding: _free,
}

# Cheap operations, counted wherever they run outside a known layer: MACs per output element in ``cheap_layers``.
# An average pooling to size 1 becomes a mean. Source: the handlers of torchprofile 0.0.4.
_CHEAP: Mapping[str, int] = {
    "mul": 1,
    "mul_": 1,
    "leaky_relu": 1,
    "leaky_relu_": 1,
    "mean": 1,
    "avg_pool2d": 1,
    "avg_pool3d": 1,
    "_adaptive_avg_pool2d": 1,
    "_adaptive_avg_pool3d": 1,
    "upsample_bilinear2d": 4,
    "blur2d": 0,  # of `gancompress.networks.families.equalized`
}

# Expensive operations, and norms, which have a rule as layers only: reported as missed outside a known layer.
_MISSED = re.compile(
    r".*convolution.*|.*mm|(add)?mv|v?dot|_trilinear|.*attention.*|.*transformer.*|.*(rnn|lstm|gru).*|"
    r"_?(native|fused|cudnn|miopen)_.*norm.*"
)


def _rule(module: nn.Module) -> _Rule | None:
    return next((rule for kind, rule in _LAYERS.items() if isinstance(module, kind)), None)


def _parameters_without_rule(module: nn.Module) -> Iterator[str]:
    """Yield a line for each module of unknown type that holds parameters, whose use is not counted."""
    covered = {part for layer in module.modules() if _rule(layer) for part in layer.modules()}
    for path, part in module.named_modules():
        elements = sum(parameter.numel() for parameter in part.parameters(recurse=False))
        if elements and part not in covered:
            yield f"{path or '(root)'}: {type(part).__name__} holds {elements} parameters and has no counting rule"


class _Run(TorchDispatchMode):
    """State of a measuring run: running modules, their costs, missed operations, and live storages."""

    def __init__(self, module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        super().__init__()
        self.layers: list[LayerCost] = []
        self.missed: list[str] = []
        self.live = _LiveStorages([*module.parameters(), *module.buffers()], inputs)
        self._module = module
        self._running: list[tuple[str, _Rule | None]] = []
        self._counted: set[nn.Parameter] = set()

    @contextmanager
    def hooks(self) -> Iterator[None]:
        """Register hooks on every module of the tree, and remove them afterwards."""
        with ExitStack() as stack:
            for path, part in self._module.named_modules():
                enter, count, leave = self._hooks_of(path or "(root)", _rule(part))
                stack.enter_context(part.register_forward_pre_hook(enter, prepend=True))
                stack.enter_context(part.register_forward_hook(count, with_kwargs=True))
                stack.enter_context(part.register_forward_hook(leave, always_call=True))
            yield

    def _hooks_of(self, path: str, rule: _Rule | None) -> tuple[Callable[..., None], ...]:
        def enter(part: nn.Module, args: Any) -> None:
            self._running.append((path, rule))

        def count(part: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
            if rule:
                with _disable_current_modes():  # reading a parametrised weight computes it again
                    macs = rule(part, args[0] if args else kwargs["input"], output)
                new = set(part.parameters()) - self._counted
                self._counted |= new
                self._add(path, type(part).__name__, macs, sum(each.numel() for each in new), output)

        def leave(part: nn.Module, args: Any, output: Any) -> None:
            self._running.pop()

        return enter, count, leave

    def _add(self, path: str, kind: str, macs: Macs, parameters: int, output: Tensor) -> None:
        self.layers.append(LayerCost(path, kind, macs, parameters, tuple(output.shape)))

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        output = func(*args, **(kwargs or {}))
        self.live.add(output)
        if not any(rule for _, rule in self._running):
            self._note(func, args, output)
        return output

    def _note(self, func: Any, args: tuple[Any, ...], output: Any) -> None:
        """Count a cheap operation outside the known layers, and report an expensive one as missed."""
        path = self._running[-1][0] if self._running else "(root)"
        name = func.overloadpacket.__name__
        by_a_number = name in ("mul", "mul_") and not isinstance(args[1], Tensor)
        if name in _CHEAP and not by_a_number:
            macs = Macs(0, 0, _CHEAP[name] * prod(output.shape))
            self._add(path, name, macs, 0, output)
        elif _MISSED.fullmatch(name) or func.namespace not in ("aten", "prim"):
            self.missed.append(f"{path}: {func.overloadpacket} outside a known layer")


class _LiveStorages:
    """Live storages, by weak reference: their total bytes, and the peak."""

    def __init__(self, excluded: list[Tensor], inputs: tuple[Tensor, ...]) -> None:
        self.peak_bytes = 0
        self._excluded = {StorageWeakRef(tensor.untyped_storage()) for tensor in excluded}
        self._bytes: dict[StorageWeakRef, int] = {}
        self.add(inputs)

    def add(self, tensors: Any) -> None:
        """Register the storages of new tensors, in any nesting, and forget those that have died."""
        for tensor in tree_leaves(tensors):
            if isinstance(tensor, Tensor):
                storage = tensor.untyped_storage()
                reference = StorageWeakRef(storage)
                if reference not in self._excluded:
                    self._bytes[reference] = storage.nbytes()
        self._bytes = {each: size for each, size in self._bytes.items() if not each.expired()}
        self.peak_bytes = max(self.peak_bytes, sum(self._bytes.values()))
