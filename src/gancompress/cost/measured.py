"""What a network costs, by running it once: an instrument that knows no graph and no plan, and says what it missed.

Layers are counted by hooks on the modules, from the shape of their weight and of what they returned. The cheap
operations that code may also write without a module (products, poolings, ...), the storages alive, and the work done
outside every known layer are seen one level below, at the operations that PyTorch dispatches.
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
    """One call of a known layer, or one cheap operation between the layers.

    Attributes:
        path: The module that ran, "(root)" for the measured module itself.
        type: Its class, or the name of the operation.
        macs: The cost of this call.
        parameters: Its parameters that no earlier line has counted, so that a column adds up.
        output_shape: What it returned.
    """

    path: str
    type: str
    macs: Macs
    parameters: int
    output_shape: tuple[int, ...]


@dataclass(frozen=True)
class MeasuredCost:
    """The cost of one run.

    Attributes:
        macs: The sum over ``layers``, for the batch of the inputs.
        parameters: Elements of all parameters, trainable or not, a shared one once; buffers are not parameters.
        parameter_bytes: The same in bytes.
        peak_activation_bytes: The largest total of the storages that were alive together right after an operation
            and are no parameter or buffer. Inputs and outputs count; what an operation needs inside itself does not.
        layers: What was counted, in the order in which it ran.
        uncounted: One line for each thing that ``macs`` lacks: its module and what it is. Empty: nothing is missing.
    """

    macs: Macs
    parameters: int
    parameter_bytes: int
    peak_activation_bytes: int
    layers: tuple[LayerCost, ...]
    uncounted: tuple[str, ...]


def measure(module: nn.Module, inputs: tuple[Tensor, ...]) -> MeasuredCost:
    """Run the module once, in evaluation mode and without gradients, and count.

    A layer that runs twice costs twice. The module is left as it was found: training flags, hooks and buffers.

    Args:
        module: Any module; on the meta device it costs no time and no memory.
        inputs: Its positional arguments, of any shape and value that it accepts.

    Returns:
        Its cost for these inputs.
    """
    parameters = list(module.parameters())
    # In inference mode, operations that are made of others would be seen whole.
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
    """The module in evaluation mode, and afterwards every part of it back in the mode that it had."""
    training = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, flag in training:
            part.training = flag


# Layers, counted by hooks. Sizes come from the tensors, for a layer's attributes may be out of date.
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


_LAYERS: Mapping[type[nn.Module], _Rule] = {  # the first type that fits decides
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

# Cheap operations, counted wherever they run outside a known layer: what each output element adds to ``cheap_layers``.
# A mean is what an average pooling to size 1 becomes. Source: the handlers of torchprofile 0.0.4.
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
    "blur2d": 0,  # of `gancompress.models.equalized`
}

# Operations that are not cheap, and norms, which have a rule as layers only: outside a known layer they are missed.
_MISSED = re.compile(
    r".*convolution.*|.*mm|(add)?mv|v?dot|_trilinear|.*attention.*|.*transformer.*|.*(rnn|lstm|gru).*|"
    r"_?(native|fused|cudnn|miopen)_.*norm.*"
)


def _rule(module: nn.Module) -> _Rule | None:
    return next((rule for kind, rule in _LAYERS.items() if isinstance(module, kind)), None)


def _parameters_without_rule(module: nn.Module) -> Iterator[str]:
    """Parameters that hang on a module of no known type, so that nobody counts what is done with them."""
    covered = {part for layer in module.modules() if _rule(layer) for part in layer.modules()}
    for path, part in module.named_modules():
        elements = sum(parameter.numel() for parameter in part.parameters(recurse=False))
        if elements and part not in covered:
            yield f"{path or '(root)'}: {type(part).__name__} holds {elements} parameters and has no counting rule"


class _Run(TorchDispatchMode):
    """What happens while the module runs: which modules are running, what they cost, what is missed, what is alive."""

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
        """Follow every module of the tree; the hooks are gone afterwards."""
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
                with _disable_current_modes():  # a parametrised weight is computed anew to be looked at
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
        """Count an operation outside the known layers if it is a cheap one, name it if it is an expensive one."""
        path = self._running[-1][0] if self._running else "(root)"
        name = func.overloadpacket.__name__
        by_a_number = name in ("mul", "mul_") and not isinstance(args[1], Tensor)
        if name in _CHEAP and not by_a_number:
            macs = Macs(0, 0, _CHEAP[name] * prod(output.shape))
            self._add(path, name, macs, 0, output)
        elif _MISSED.fullmatch(name) or func.namespace not in ("aten", "prim"):
            self.missed.append(f"{path}: {func.overloadpacket} outside a known layer")


class _LiveStorages:
    """The storages alive, by weak reference: how many bytes they hold together, and held at most."""

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
