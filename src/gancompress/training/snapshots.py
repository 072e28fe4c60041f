"""Tensors of a training run by name, as a checkpoint holds them."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from gancompress.training.objective import Objective


def tensors_of(
    objective: Objective, averages: Mapping[str, nn.Module], optimizers: Mapping[str, torch.optim.Optimizer]
) -> dict[str, Tensor]:
    """Return all tensors that the next step depends on.

    Args:
        objective: Objective with its modules and memory.
        averages: Moving averages of modules by name.
        optimizers: Optimizers by name.
    """
    tensors = {f"memory/{name}": t for name, t in objective.memory().items()}
    for name, module in objective.modules.items():
        tensors |= {f"module/{name}/{key}": t for key, t in module.state_dict().items()}
    for name, module in averages.items():
        tensors |= {f"average/{name}/{key}": t for key, t in module.state_dict().items()}
    for name, optimizer in optimizers.items():
        for index, moments in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer/{name}/{index}/{key}": t for key, t in moments.items()}
    return tensors


def restore_tensors(
    tensors: Mapping[str, Tensor],
    objective: Objective,
    averages: Mapping[str, nn.Module],
    optimizers: Mapping[str, torch.optim.Optimizer],
) -> None:
    """Give a run the tensors that `tensors_of` returned."""
    for name, module in objective.modules.items():
        module.load_state_dict(_under(tensors, f"module/{name}/"))
    for name, module in averages.items():
        module.load_state_dict(_under(tensors, f"average/{name}/"))
    for name, optimizer in optimizers.items():
        state: dict[int, dict[str, Tensor]] = {}
        for key, tensor in _under(tensors, f"optimizer/{name}/").items():
            index, moment = key.split("/")
            state.setdefault(int(index), {})[moment] = tensor
        optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
    objective.remember(_under(tensors, "memory/"))


def _under(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
