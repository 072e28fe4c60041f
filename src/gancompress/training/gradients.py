"""Gradients of a training step: forward and backward passes, and the check that all are finite."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any, NoReturn

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from gancompress.errors import TrainingError
from gancompress.training.loss_means import LossMeans
from gancompress.training.objective import Batch, Losses, Objective, Phase
from gancompress.training.options import TrainingOptions
from gancompress.training.processes import finite_everywhere, mean_everywhere


class Gradients:
    """Gradients of the losses of an objective; a loss or gradient that is not finite stops the training."""

    def __init__(
        self, objective: Objective, options: TrainingOptions, accelerator: Accelerator, losses: LossMeans
    ) -> None:
        self._objective, self._options, self._accelerator, self._losses = objective, options, accelerator, losses

    def passes(self, batch: Batch, num_images: int) -> Iterator[Any]:
        """Yield the objective's forward passes in the options' precision; other code runs in full precision."""
        passes, done = self._objective.passes(batch, num_images), object()
        while True:
            with self._autocast():
                shared = next(passes, done)
            if shared is done:
                return
            yield shared

    def _autocast(self) -> AbstractContextManager[Any]:
        is_half = self._options.precision == "bf16"
        return torch.autocast(self._accelerator.device.type, torch.bfloat16, enabled=is_half)

    def add(self, phase: Phase, batch: Batch, shared: Any, parameters: list[nn.Parameter], num_images: int) -> None:
        """Add the gradients of one phase to its own parameters only, and its losses to the means.

        Raises:
            TrainingError: A loss is not finite in some process.
        """
        terms = self._terms(phase, batch, shared)
        if not terms:
            return
        total = torch.stack([term.float() for term in terms.values()]).sum()
        self._count(phase, terms, total)
        if not finite_everywhere(total.detach(), self._accelerator):
            broken = [name for name, term in terms.items() if not torch.isfinite(term).all()]
            named = ", ".join(f"'{phase.name}/{name}'" for name in broken) or f"'{phase.name}'"
            _stop_at(f"loss {named}", num_images)
        is_last = phase is self._objective.phases[-1]
        gradients = torch.autograd.grad(
            total / self._options.micro_batches, parameters, allow_unused=True, retain_graph=not is_last
        )
        for parameter, gradient in zip(parameters, gradients, strict=True):
            if gradient is not None:
                gradient = _as_laid_out(gradient, parameter)
                parameter.grad = gradient if parameter.grad is None else parameter.grad + gradient

    def _terms(self, phase: Phase, batch: Batch, shared: Any) -> Losses:
        """Return the terms of a phase, with no gradient to modules that it does not train."""
        trained = set(phase.modules)
        for name, module in self._objective.modules.items():
            module.requires_grad_(name in trained)
        with self._autocast():
            terms = phase.loss(batch, shared)
        for module in self._objective.modules.values():
            module.requires_grad_(True)
        return terms

    def _count(self, phase: Phase, terms: Losses, total: Tensor) -> None:
        num_updates = sum(other.name == phase.name for other in self._objective.phases)
        for name, term in {**terms, phase.name: total}.items():
            key = f"{phase.name}/{name}" if name in terms else name
            self._losses.add(key, term.detach().float() / num_updates)

    def check(self, phase: Phase, parameters: list[nn.Parameter], num_images: int) -> None:
        """Average the gradients of a phase over the processes.

        Raises:
            TrainingError: A gradient is not finite.
        """
        gradients = [p.grad for p in parameters if p.grad is not None]
        if not gradients:
            return
        if self._accelerator.num_processes > 1:
            flat = mean_everywhere(torch.cat([g.flatten() for g in gradients]), self._accelerator)
            for gradient, mean in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
                gradient.copy_(mean.view_as(gradient))
        if not torch.isfinite(torch.nn.utils.get_total_norm(gradients)):  # the mean is the same in every process
            _stop_at(f"gradient of '{phase.name}'", num_images)


def parts_of(batch: Mapping[str, Any], count: int) -> Iterator[dict[str, Any]]:
    """Yield a batch in equal parts along axis 0."""
    if count == 1:
        yield dict(batch)
        return
    size = len(next(iter(batch.values()))) // count
    for i in range(count):
        yield {key: value[i * size : (i + 1) * size] for key, value in batch.items()}


def _as_laid_out(gradient: Tensor, parameter: Tensor) -> Tensor:
    """Return a gradient in the memory layout of its parameter: fused optimizers walk both in order of memory."""
    if gradient.stride() == parameter.stride():
        return gradient
    return torch.empty_like(parameter).copy_(gradient)


def _stop_at(what: str, num_images: int) -> NoReturn:
    raise TrainingError(
        f"training: the {what} is not finite after {num_images:,} images; nothing of this "
        "step is saved; lower the learning rate or use precision fp32; the same command resumes from the last "
        "checkpoint"
    )
