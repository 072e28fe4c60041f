"""Distillation of a StyleGAN2: the regularised training of its teacher, with distillation terms added.

Source: Liu et al., Content-Aware GAN Compression, CVPR 2021, section 3.3, as released; lazy regularisation and style
mixing: Karras et al., CVPR 2020.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from gancompress.errors import ConfigError
from gancompress.networks.given import Given, one_tensor
from gancompress.networks.styles import StyledGenerator
from gancompress.objectives.distillation import Distillation
from gancompress.objectives.students import Student
from gancompress.objectives.supervision import Pass, Supervision
from gancompress.tasks import StyleGan2Options, StyleGan2Regularisers
from gancompress.tasks.stylegan2 import path_phase, r1_phase
from gancompress.tasks.task import Task
from gancompress.training import Batch, Losses, Phase, TrainingOptions


class StyleGan2Distillation(Distillation):
    """Distillation of a StyleGAN2: discriminator, its regulariser, student and its regulariser, updated in this order.

    Teacher and student get the same noise, the same noise maps, and the same styles to mix in at the same layer. The
    discriminator's loss is not halved, as in StyleGAN2 training, so that the weight of R1 means the same.
    """

    update_together = False

    def __init__(
        self,
        task: Task,
        student: Student,
        supervision: Supervision,
        example: Tensor,
        regularisers: StyleGan2Options,
        batch_size: int,
    ) -> None:
        """Take the networks and the options of the regularisers.

        Args:
            task: See `Distillation`.
            student: See `Distillation`; one network.
            supervision: See `Distillation`.
            example: See `Distillation`.
            regularisers: Options of StyleGAN2 training: regularisers and style mixing.
            batch_size: Images of one step, over all processes.

        Raises:
            ConfigError: Teacher or student is no StyleGAN2, or a term compares maps of the discriminator; or as
                `Distillation`.
        """
        super().__init__(task, student, supervision, example)
        if self.options.compares_discriminator_maps:
            raise ConfigError(
                "stylegan2: got a term on maps of the discriminator, expected none: its discriminator has logits alone"
            )
        self._regularisers = StyleGan2Regularisers(regularisers, batch_size)
        self._generator = _styled(self.modules["student"], "student")
        _styled(self.frozen["teacher"], "teacher")
        phases = [phase for phase in self.phases if phase.discriminates]
        (learner,) = (phase for phase in self.phases if not phase.discriminates)
        self.phases = (
            *phases,
            *([r1_phase(self._r1_loss)] if phases and regularisers.r1 else []),
            learner,
            *([path_phase(learner.modules, self._path_loss)] if regularisers.path_length else []),
        )

    def optimizers(self, phase: Phase, options: TrainingOptions) -> dict[str, torch.optim.Optimizer]:
        """Return one optimizer for each network; its regulariser shares it."""
        return self._regularisers.optimizers(
            phase, lambda: super(StyleGan2Distillation, self).optimizers(phase, options)
        )

    def memory(self) -> dict[str, Tensor]:
        """Return the state of the regularisers."""
        return self._regularisers.memory()

    def remember(self, memory: Mapping[str, Tensor]) -> None:
        """Restore what `memory` returned."""
        self._regularisers.remember(memory)

    def _drawn(self, given: Given) -> dict[str, Any]:
        """Draw noise maps and, for most batches, a second noise for the finer layers."""
        mixing = self._regularisers.mixing(one_tensor(given, "stylegan2"), self._generator.num_styles)
        return {**super()._drawn(given), "mixed_with": mixing}

    def _discriminate(self, batch: Batch, image: Tensor, teacher_image: Tensor) -> tuple[None, None]:
        """Return nothing: the discriminator is updated before the student learns from it."""
        return None, None

    def _discriminator_loss(self, batch: Batch, made: Pass) -> Losses:
        real, fake = self._reals(batch, made), self.task.seen(batch, made.student.image)
        return self._regularisers.discriminator_loss(
            self._gan, self.modules["discriminator"], real, fake, made.num_images
        )

    def _r1_loss(self, batch: Batch, made: Pass) -> Losses:
        return self._regularisers.r1_loss(self.modules["discriminator"], self._reals(batch, made), made.num_images)

    def _generator_loss(self, batch: Batch, made: Pass) -> Losses:
        logits = None
        if "discriminator" in self.modules:
            seen = self.task.seen(batch, made.student.image)
            logits = self._regularisers.logits(self.modules["discriminator"], seen)
        return super()._generator_loss(batch, made._replace(logits=logits))

    def _path_loss(self, batch: Batch, made: Pass) -> Losses:
        given = one_tensor(self.task.encode(batch["input"]), "stylegan2")
        return self._regularisers.path_loss(self._generator, given, made.num_images)

    def _reals(self, batch: Batch, made: Pass) -> Tensor:
        return torch.cat(self._real(batch, made.teacher.image))


def _styled(network: nn.Module, role: str) -> StyledGenerator:
    if not isinstance(network, StyledGenerator):
        raise ConfigError(
            f"stylegan2: got a {type(network).__name__} as {role}, expected a generator with styles; leave "
            "stylegan2 out"
        )
    return network
