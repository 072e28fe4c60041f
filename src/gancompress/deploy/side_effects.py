"""Random numbers that a network draws, and inputs and weights that it changes. A file can do none as PyTorch does."""

from __future__ import annotations

import copy
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from gancompress.cost.measured import evaluation_mode
from gancompress.deploy.axes import Inputs
from gancompress.errors import ExportError
from gancompress.networks.outputs import named_outputs, tensors_of


def repeatable(module: nn.Module, inputs: Inputs, what: str, taken: tuple[str, ...]) -> tuple[nn.Module, list[str]]:
    """Return a network that leaves its inputs and weights unchanged, and the names of its outputs.

    Args:
        module: The network; copied only if it changes its inputs in place, or uses ``data`` of its weights, such as to
            set a kernel that it computes from others, or numbers of them. The copy keeps the weights that a run on the
            inputs sets, and the numbers that it reads.
        inputs: Example inputs.
        what: Beginning of messages, such as "export of Net".
        taken: Names of the inputs, which no output gets.

    Raises:
        ExportError: It draws random numbers on which its outputs depend.
    """
    with evaluation_mode(module), torch.no_grad():
        given = _copies(inputs)
        before = [each._version for each in given]
        with _Draws(module) as draws, _Data(module) as data:
            try:
                result = module(*given)
            except Exception:  # the comparison says so, with the shapes
                return module, []
        if draws.found:
            _refuse_noise(module, inputs, draws.found, what)
    if [each._version for each in given] != before:
        module = copy.deepcopy(module)
        module.register_forward_pre_hook(lambda _, args: _copies(args))
    if data.found:
        module = copy.deepcopy(module)
        modes: list[_Data] = []
        module.register_forward_pre_hook(lambda given, _: modes.append(_Data(given, data.numbers).__enter__()))
        module.register_forward_hook(lambda *_: modes.pop().__exit__(None, None, None), always_call=True)
    return module, list(named_outputs(result, taken))


def difference_of_runs(module: nn.Module, inputs: Inputs) -> float:
    """Return the largest difference between two runs of a network on the same inputs with different seeds."""
    results = []
    with torch.random.fork_rng(devices=[]):
        for seed in range(2):
            torch.manual_seed(seed)
            results.append(tensors_of(module(*_copies(inputs))))
    return max(float((a.double() - b.double()).abs().max()) for a, b in zip(*results, strict=True))


def _refuse_noise(module: nn.Module, inputs: Inputs, found: list[str], what: str) -> None:
    """Raise if the outputs depend on the draws; operators such as attention could draw, and do not."""
    difference = difference_of_runs(module, inputs)
    if difference > 0:
        places = ", ".join(dict.fromkeys(found))
        raise ExportError(
            f"{what}: got a network that draws random numbers in its forward pass ({places}): two runs in PyTorch "
            f"differ by {difference:.2g}; pass the noise as an input, keep it in a buffer, or draw none in evaluation "
            "mode"
        )


def _copies(values: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(each.clone() if isinstance(each, Tensor) else each for each in values)


class _Data(TorchFunctionMode):
    """Mode that records whether ``data`` or numbers of a network's own tensors are used, which no converter follows.

    It may also leave the tensors unchanged where their ``data`` is set, and return numbers that were read before.
    """

    _READS, _SETS = Tensor.data.__get__, Tensor.data.__set__  # type: ignore[attr-defined]
    _NUMBERS = (Tensor.item, Tensor.tolist, Tensor.__float__, Tensor.__int__)

    def __init__(self, network: nn.Module, numbers: dict[str, Any] | None = None) -> None:
        super().__init__()
        self.found, self.numbers = False, {} if numbers is None else numbers
        self._keep = numbers is not None
        self._own = {id(each): name for name, each in (*network.named_parameters(), *network.named_buffers())}

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = self._own.get(id(args[0])) if args else None
        if name is None or func not in (self._READS, self._SETS, *self._NUMBERS):
            return func(*args, **(kwargs or {}))
        self.found = True
        if func == self._SETS and self._keep:
            return None
        if func == self._READS and self._keep:
            return args[0].detach()
        key = f"{func.__name__} of {name}"
        if not self._keep or key not in self.numbers:
            self.numbers[key] = func(*args, **(kwargs or {}))
        return self.numbers[key]


class _Draws(TorchDispatchMode):
    """Mode that records the operators that may draw random numbers, with the paths of their modules."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.found: list[str] = []
        self._network, self._inside, self._hooks = network, [], ExitStack()

    def __enter__(self) -> _Draws:
        for path, module in self._network.named_modules():
            enter = module.register_forward_pre_hook(lambda *_, path=path: self._inside.append(path))
            leave = module.register_forward_hook(lambda *_: self._leave())
            self._hooks.callback(enter.remove)
            self._hooks.callback(leave.remove)
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        self._hooks.close()
        super().__exit__(*error)

    def _leave(self) -> None:
        self._inside.pop()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if torch.Tag.nondeterministic_seeded in func.tags:
            name, place = func.overloadpacket.__name__, self._inside[-1] if self._inside else ""
            self.found.append(f"{name} in '{place}'" if place else name)
        return func(*args, **(kwargs or {}))
