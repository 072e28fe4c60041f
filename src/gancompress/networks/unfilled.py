"""Construction of networks for their structure alone."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

_FILLING = {
    *(Tensor.normal_, Tensor.uniform_, Tensor.zero_, Tensor.fill_),
    *(nn.init.normal_, nn.init.uniform_, nn.init.kaiming_uniform_, nn.init.constant_, nn.init.zeros_, nn.init.ones_),
}


class Unfilled(TorchFunctionMode):
    """Context without initialisation of weights, which takes most of the time of a constructor on the meta device."""

    def __torch_function__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        """Run a function, or return its tensor unchanged if it only fills that."""
        keywords = kwargs or {}
        if func in _FILLING:
            return args[0] if args else keywords["tensor"]
        return func(*args, **keywords)
