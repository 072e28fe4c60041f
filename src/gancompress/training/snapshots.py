"""Tensors of a training run by name, as a checkpoint holds them."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from gancompress.training.checkpoint import MEMORY
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
    tensors = {f"{MEMORY}{name}": t for name, t in objective.memory().items()}
    for name, module in objective.modules.items():
        tensors |= {f"module/{name}/{key}": t for key, t in module.state_dict().items()}
    for name, module in averages.items():
        tensors |= {f"average/{name}/{key}": t for key, t in module.state_dict().items()}
    for name, optimizer in optimizers.items():
        for index, moments in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer/{name}/{index}/{key}": t for key, t in moments.items()}
    return tensors


def own_tensors_of(objective: Objective, averages: Mapping[str, nn.Module]) -> dict[str, Tensor]:
    """Return the tensors in which processes differ, under the names of `tensors_of`: the memory, and all buffers.

    Every process has the same weights, because it updates them by the same gradients.
    """
    tensors = {f"{MEMORY}{name}": t for name, t in objective.memory().items()}
    for kind, modules in (("module", objective.modules), ("average", averages)):
        for name, module in modules.items():
            buffers = {key for key, _ in module.named_buffers(remove_duplicate=False)}
            own = {key: t for key, t in module.state_dict().items() if key in buffers}
            tensors |= {f"{kind}/{name}/{key}": t for key, t in own.items()}
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
    objective.remember(_under(tensors, MEMORY))


def _under(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
