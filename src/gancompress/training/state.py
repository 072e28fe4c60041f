"""State of a training run, and its steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

from gancompress.channels.skeleton import copy_module
from gancompress.cost.measured import evaluation_mode
from gancompress.training.averages import update_average
from gancompress.training.checkpoint import Checkpoints, Snapshot
from gancompress.training.gradients import Gradients, parts_of
from gancompress.training.layout import speed_up_image_convolutions
from gancompress.training.log import TrainingLog
from gancompress.training.loss_means import LossMeans
from gancompress.training.objective import Batch, Objective, Phase, Reshaped
from gancompress.training.optimizers import Optimizers
from gancompress.training.options import TrainingOptions
from gancompress.training.snapshots import own_tensors_of, restore_tensors, tensors_of

Validate = Callable[[nn.Module], Mapping[str, float]]
"""Takes a generator in evaluation mode; returns metrics by name, that of the split in front (``search/psnr``)."""


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
        self.optimizers = Optimizers(objective, options)
        averaged = objective.averaged if options.ema_half_life else ()
        self.averages = {name: copy_module(objective.modules[name]).eval() for name in averaged}
        self._losses = LossMeans(accelerator)
        self._gradients = Gradients(objective, options, accelerator, self._losses)

    def step(self, batch: Batch) -> None:
        """Update every phase once."""
        torch.manual_seed(_seed_of_step(self.seed, self.num_images, self.accelerator.process_index))
        factor = self.options.learning_rate_factor(self.num_images)
        self.optimizers.clear_gradients()
        with self.optimizers.scaled(factor):
            self._update(self._on_device(batch))
        self.num_images += self.options.batch_size
        self._reshape(self.objective.after_step(self.num_images, factor))
        self._average()

    def _update(self, batch: Batch) -> None:
        """Update each phase after its own backward pass, or all after the last one."""
        phases = self.objective.phases
        together = self.objective.update_together or self.options.micro_batches > 1
        for part in parts_of(batch, self.options.micro_batches):
            self._losses.count()
            for shared in self._gradients.passes(part, self.num_images):
                for phase in phases:
                    parameters = self.optimizers.parameters(phase)
                    self._gradients.add(phase, part, shared, parameters, self.num_images)
                    if not together:
                        self._update_alone(phase)
        if together:
            for phase in phases:
                self._gradients.check(phase, self.optimizers.parameters(phase), self.num_images)
            for phase in phases:
                self.optimizers.update(phase)

    def _update_alone(self, phase: Phase) -> None:
        parameters = self.optimizers.parameters(phase)
        self._gradients.check(phase, parameters, self.num_images)
        self.optimizers.update(phase)
        for parameter in parameters:
            parameter.grad = None

    def _reshape(self, changes: Mapping[str, Reshaped]) -> None:
        """Replace reshaped modules, with new optimizers that continue with the kept part of their state."""
        if not changes:
            return
        moments = self.optimizers.moments()
        for name, change in changes.items():
            self.objective.modules[name] = change.module.to(self.accelerator.device).train()
            speed_up_image_convolutions(change.module, self.accelerator.device)
            if name in self.averages:
                self.averages[name] = copy_module(change.module).eval()
        self.optimizers.renew(moments, changes)

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

    def report(self, validate: Validate | None = None) -> None:
        """Report the means of the losses since the last report, and the metrics of the generator if they are asked."""
        means, rate = self._losses.take()
        means |= self.objective.statistics()
        remarks = self.objective.remarks()
        if self.accelerator.is_main_process:
            if validate is not None:
                means |= self._measured(validate)
            self.log.losses(self.num_images, means, rate * self.options.batch_size / self.options.micro_batches)
            for line in remarks:
                self.log.said(line)

    def measure(self, validate: Validate) -> None:
        """Report the metrics of the generator alone, before the first image."""
        if self.accelerator.is_main_process:
            self.log.losses(self.num_images, self._measured(validate), 0.0)

    def _measured(self, validate: Validate) -> Mapping[str, float]:
        """Return the metrics of the generator, averaged where an average is kept; draws of training are not changed."""
        name = self.objective.measured
        network = self.averages.get(name, self.objective.modules[name])
        with torch.no_grad(), evaluation_mode(network), torch.random.fork_rng(devices=[]):
            metrics = validate(network)
        self._losses.pause()
        found = ", ".join(f"{metric} {value:.4g}" for metric, value in metrics.items())
        self.log.said(f"{self.num_images:,} images: {found}")
        return metrics

    @torch.no_grad()
    def preview(self, batch: Batch) -> None:
        """Draw the sample grid."""
        if not self.accelerator.is_main_process:
            return
        modules = {**self.objective.modules, **self.averages}
        with ExitStack() as stack:
            for module in modules.values():
                stack.enter_context(evaluation_mode(module))
            images = self.objective.preview(self._on_device(batch), modules)
        self.log.preview(self.num_images, {name: image.float().cpu() for name, image in images.items()})

    def _on_device(self, batch: Batch) -> Batch:
        return tree_map_only(Tensor, lambda t: t.to(self.accelerator.device, non_blocking=True), dict(batch))

    def keep_averages(self) -> None:
        """Replace the last weights by the averaged ones."""
        for name, average in self.averages.items():
            self.objective.modules[name].load_state_dict(average.state_dict())

    def snapshot(self) -> Snapshot:
        """Return everything that the next step depends on."""
        tensors = tensors_of(self.objective, self.averages, self.optimizers.by_name)
        facts = {"seed": self.seed, "shape": self.objective.shape(), "processes": self.accelerator.num_processes}
        return Snapshot(self.num_images, tensors, facts)

    def save(self, checkpoints: Checkpoints) -> None:
        """Write a checkpoint of all processes; the file of the first comes last, because it stands for all."""
        process = self.accelerator.process_index
        if process > 0:
            own = own_tensors_of(self.objective, self.averages)
            checkpoints.save_own(Snapshot(self.num_images, own, {}), process)
        self.accelerator.wait_for_everyone()
        if process == 0:
            checkpoints.save(self.snapshot())
        self.accelerator.wait_for_everyone()

    def restore(self, snapshot: Snapshot | None) -> None:
        """Restore a saved state; None changes nothing."""
        if snapshot is None:
            return
        self.num_images = snapshot.num_images
        restore_tensors(snapshot.tensors, self.objective, self.averages, self.optimizers.by_name)


def _seed_of_step(seed: int, num_images: int, process: int) -> int:
    return (seed * 1_000_003 + num_images * 1009 + process) % 2**63
