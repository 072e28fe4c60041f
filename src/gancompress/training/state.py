"""State of a training run, and its steps: forward and backward passes, checks and updates."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

from gancompress.channels.skeleton import copy_module
from gancompress.errors import TrainingError
from gancompress.training.averages import update_average
from gancompress.training.checkpoint import Snapshot
from gancompress.training.layout import speed_up_image_convolutions
from gancompress.training.log import TrainingLog
from gancompress.training.objective import Batch, Objective, Phase, Reshaped
from gancompress.training.optimizer_state import moments_of, restore_moments
from gancompress.training.options import TrainingOptions


class TrainingState:
    """Mutable state of one training run."""

    def __init__(
        self,
        objective: Objective,
        options: TrainingOptions,
        accelerator: Accelerator,
        log: TrainingLog,
        seed: int,
    ) -> None:
        self.objective, self.options, self.accelerator, self.log, self.seed = objective, options, accelerator, log, seed
        self.num_images = 0
        for module in (*objective.modules.values(), *objective.frozen.values()):
            speed_up_image_convolutions(module.to(accelerator.device), accelerator.device)
        for module in objective.frozen.values():
            module.eval().requires_grad_(False)
        for module in objective.modules.values():
            module.train()
        self.optimizers: dict[str, torch.optim.Optimizer] = {}
        self._optimizers_of: dict[str, list[str]] = {}
        self._make_optimizers()
        averaged = objective.averaged if options.ema_half_life else ()
        self.averages = {name: copy_module(objective.modules[name]).eval() for name in averaged}
        self._sums: dict[str, Tensor] = {}
        self._num_summed = 0
        self._reported_at = time.perf_counter()

    def _make_optimizers(self) -> None:
        self.optimizers = {}
        for phase in self.objective.phases:
            made = self.objective.optimizers(phase, self.options)
            self._optimizers_of[phase.name] = list(made)
            self.optimizers |= made

    def _parameters(self, phase: Phase) -> list[nn.Parameter]:
        optimizers = (self.optimizers[name] for name in self._optimizers_of[phase.name])
        return [p for optimizer in optimizers for group in optimizer.param_groups for p in group["params"]]

    def _apply(self, phase: Phase) -> None:
        for name in self._optimizers_of[phase.name]:
            self.optimizers[name].step()

    def step(self, batch: Batch) -> None:
        """Update every phase once."""
        torch.manual_seed(_seed_of_step(self.seed, self.num_images, self.accelerator.process_index))
        factor = self.options.learning_rate_factor(self.num_images)
        rates = {name: [group["lr"] for group in o.param_groups] for name, o in self.optimizers.items()}
        for optimizer in self.optimizers.values():
            optimizer.zero_grad(set_to_none=True)
            for group in optimizer.param_groups:
                group["lr"] *= factor
        batch = tree_map_only(Tensor, lambda t: t.to(self.accelerator.device, non_blocking=True), dict(batch))
        together = self.objective.update_together or self.options.micro_batches > 1
        for part in _parts(batch, self.options.micro_batches):
            self._num_summed += 1
            for shared in self._passes(part):
                for phase in self.objective.phases:
                    self._backward(phase, part, shared)
                    if not together:
                        self._update(phase)
        if together:
            for phase in self.objective.phases:
                self._check_gradients(phase)
            for phase in self.objective.phases:
                self._apply(phase)
        for name, optimizer in self.optimizers.items():
            for group, rate in zip(optimizer.param_groups, rates[name], strict=True):
                group["lr"] = rate
        self.num_images += self.options.batch_size
        self._reshape(self.objective.after_step(self.num_images, factor))
        self._average()

    def _reshape(self, changes: Mapping[str, Reshaped]) -> None:
        """Replace reshaped modules, with new optimizers that continue with the kept part of their state."""
        if not changes:
            return
        modules = self.objective.modules
        moments = {name: moments_of(optimizer, modules) for name, optimizer in self.optimizers.items()}
        for name, change in changes.items():
            modules[name] = change.module.to(self.accelerator.device).train()
            speed_up_image_convolutions(change.module, self.accelerator.device)
            if name in self.averages:
                self.averages[name] = copy_module(change.module).eval()
        self._make_optimizers()
        for name, optimizer in self.optimizers.items():
            restore_moments(optimizer, moments[name], modules, changes)

    def _passes(self, batch: Batch) -> Iterator[Any]:
        """Yield the objective's forward passes in the options' precision; other code runs in full precision."""
        passes, done = self.objective.passes(batch, self.num_images), object()
        while True:
            with self._autocast():
                shared = next(passes, done)
            if shared is done:
                return
            yield shared

    def _autocast(self) -> AbstractContextManager[Any]:
        """Return the autocast context of the options' precision."""
        is_half = self.options.precision == "bf16"
        return torch.autocast(self.accelerator.device.type, torch.bfloat16, enabled=is_half)

    def _backward(self, phase: Phase, batch: Batch, shared: Any) -> None:
        """Add the gradients of one phase to its own parameters only."""
        trained = set(phase.modules)
        for name, module in self.objective.modules.items():
            module.requires_grad_(name in trained)
        with self._autocast():
            terms = phase.loss(batch, shared)
        for module in self.objective.modules.values():
            module.requires_grad_(True)
        if not terms:
            return
        total = torch.stack([term.float() for term in terms.values()]).sum()
        num_updates = sum(other.name == phase.name for other in self.objective.phases)
        for name, term in {**terms, phase.name: total}.items():
            key = f"{phase.name}/{name}" if name in terms else name
            value = term.detach().float() / num_updates
            self._sums[key] = self._sums.get(key, torch.zeros((), device=total.device)) + value
        if not self._finite_everywhere(total.detach()):
            broken = [name for name, term in terms.items() if not torch.isfinite(term).all()]
            self._stop_at("loss", ", ".join(f"'{phase.name}/{name}'" for name in broken) or f"'{phase.name}'")
        parameters = self._parameters(phase)
        for parameter, gradient in zip(
            parameters,
            torch.autograd.grad(
                total / self.options.micro_batches, parameters, allow_unused=True, retain_graph=phase is not self._last
            ),
            strict=True,
        ):
            if gradient is not None:
                gradient = _as_laid_out(gradient, parameter)
                parameter.grad = gradient if parameter.grad is None else parameter.grad + gradient

    @property
    def _last(self) -> Phase:
        return self.objective.phases[-1]

    def _update(self, phase: Phase) -> None:
        self._check_gradients(phase)
        self._apply(phase)
        for parameter in self._parameters(phase):
            parameter.grad = None

    def _check_gradients(self, phase: Phase) -> None:
        """Average the gradients over the processes; raise TrainingError if they are not finite."""
        gradients = [p.grad for p in self._parameters(phase) if p.grad is not None]
        if not gradients:
            return
        if self.accelerator.num_processes > 1:
            flat = self.accelerator.reduce(torch.cat([g.flatten() for g in gradients]), reduction="mean")
            assert isinstance(flat, Tensor)
            for gradient, mean in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
                gradient.copy_(mean.view_as(gradient))
        norm = torch.nn.utils.get_total_norm(gradients)
        if not self._finite_everywhere(norm):
            self._stop_at("gradient", f"of '{phase.name}'")

    def asked_anywhere(self, stop: bool) -> bool:
        """Return True if any process was asked to stop."""
        asked = torch.tensor(float(stop), device=self.accelerator.device)
        total = self.accelerator.reduce(asked)
        assert isinstance(total, Tensor)
        return bool(total.item())

    def _finite_everywhere(self, value: Tensor) -> bool:
        finite = torch.isfinite(value).all().float()
        if self.accelerator.num_processes > 1:
            finite = self.accelerator.reduce(finite, reduction="mean")
        return bool(finite == 1)

    def _stop_at(self, what: str, which: str) -> None:
        raise TrainingError(
            f"training: the {what} {which} is not finite after {self.num_images:,} images; nothing of this "
            "step is saved; lower the learning rate or use precision fp32; the same command resumes from the last "
            "checkpoint"
        )

    def _average(self) -> None:
        if not self.averages:
            return
        decay = 0.5 ** (self.options.batch_size / self.options.ema_half_life)
        for name, average in self.averages.items():
            update_average(average, self.objective.modules[name], decay)

    def passed(self, every: int) -> bool:
        """Return True if the last step crossed a multiple of this many images."""
        return self.options.crosses(self.num_images, every)

    def tell_progress(self) -> None:
        """Report the progress."""
        if self.accelerator.is_main_process:
            self.log.progress(self.num_images, self.options.total_images)

    def report(self) -> None:
        """Report the means of the losses since the last report."""
        now = time.perf_counter()
        means = {name: value / max(1, self._num_summed) for name, value in self._sums_everywhere().items()}
        num_images = self._num_summed * self.options.batch_size / self.options.micro_batches
        rate = num_images / max(1e-9, now - self._reported_at)
        self._sums, self._num_summed, self._reported_at = {}, 0, now
        means |= self.objective.statistics()
        remarks = self.objective.remarks()
        if self.accelerator.is_main_process:
            self.log.losses(self.num_images, means, rate)
            for line in remarks:
                self.log.said(line)

    def _sums_everywhere(self) -> dict[str, float]:
        """Return the sums of the losses, averaged over the processes."""
        if not self._sums:
            return {}
        total = self.accelerator.reduce(torch.stack(list(self._sums.values())), reduction="mean")
        assert isinstance(total, Tensor)
        return dict(zip(self._sums, total.tolist(), strict=True))

    @torch.no_grad()
    def preview(self, batch: Batch) -> None:
        """Draw the sample grid."""
        if not self.accelerator.is_main_process:
            return
        modules = {**self.objective.modules, **self.averages}
        training = {name: module.training for name, module in modules.items()}
        for module in modules.values():
            module.eval()
        device_batch = tree_map_only(Tensor, lambda t: t.to(self.accelerator.device), dict(batch))
        images = self.objective.preview(device_batch, modules)
        for name, module in modules.items():
            module.train(training[name])
        self.log.preview(self.num_images, {name: image.float().cpu() for name, image in images.items()})

    def keep_averages(self) -> None:
        """Replace the last weights by the averaged ones."""
        for name, average in self.averages.items():
            self.objective.modules[name].load_state_dict(average.state_dict())

    def snapshot(self) -> Snapshot:
        """Return everything that the next step depends on."""
        tensors = {f"memory/{name}": t for name, t in self.objective.memory().items()}
        for name, module in self.objective.modules.items():
            tensors |= {f"module/{name}/{key}": t for key, t in module.state_dict().items()}
        for name, module in self.averages.items():
            tensors |= {f"average/{name}/{key}": t for key, t in module.state_dict().items()}
        for name, optimizer in self.optimizers.items():
            for index, moments in optimizer.state_dict()["state"].items():
                tensors |= {f"optimizer/{name}/{index}/{key}": t for key, t in moments.items()}
        return Snapshot(self.num_images, tensors, {"seed": self.seed, "shape": self.objective.shape()})

    def restore(self, snapshot: Snapshot | None) -> None:
        """Restore a saved state; None changes nothing."""
        if snapshot is None:
            return
        self.num_images = snapshot.num_images
        for name, module in self.objective.modules.items():
            module.load_state_dict(_under(snapshot.tensors, f"module/{name}/"))
        for name, module in self.averages.items():
            module.load_state_dict(_under(snapshot.tensors, f"average/{name}/"))
        for name, optimizer in self.optimizers.items():
            state: dict[int, dict[str, Tensor]] = {}
            for key, tensor in _under(snapshot.tensors, f"optimizer/{name}/").items():
                index, moment = key.split("/")
                state.setdefault(int(index), {})[moment] = tensor
            optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
        self.objective.remember(_under(snapshot.tensors, "memory/"))


def _as_laid_out(gradient: Tensor, parameter: Tensor) -> Tensor:
    """Return a gradient in the memory layout of its parameter: fused optimizers walk both in order of memory."""
    if gradient.stride() == parameter.stride():
        return gradient
    return torch.empty_like(parameter).copy_(gradient)


def _seed_of_step(seed: int, num_images: int, process: int) -> int:
    return (seed * 1_000_003 + num_images * 1009 + process) % 2**63


def _parts(batch: Mapping[str, Any], count: int) -> Iterator[dict[str, Any]]:
    """Yield a batch in equal parts along axis 0."""
    if count == 1:
        yield dict(batch)
        return
    size = len(next(iter(batch.values()))) // count
    for i in range(count):
        yield {key: value[i * size : (i + 1) * size] for key, value in batch.items()}


def _under(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
