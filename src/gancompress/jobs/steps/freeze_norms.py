"""Frozen norms: instance norms become scales and shifts with fixed statistics, which fold into convolutions."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import torch
from pydantic import Field

from gancompress.jobs.steps.step import Goal, Step, StepRun, Work, register_step
from gancompress.methods.freeze_norms import NUM_IMAGES, instance_norms, norm_statistics
from gancompress.methods.generators import frozen
from gancompress.networks.given import call
from gancompress.networks.outputs import image_of
from gancompress.quantization import distance_between
from gancompress.tasks.inputs import Inputs

_BATCH_SIZE = 4


@register_step
class FreezeNorms(Step):
    """Step that freezes the instance norms of the current network; a step that trains should follow.

    Attributes:
        num_images: Training images whose statistics are averaged.
    """

    kind = "freeze_norms"

    num_images: Annotated[int, Field(ge=1)] = NUM_IMAGES

    @property
    def least_images(self) -> int:
        """The given number."""
        return self.num_images

    def run(self, work: Work, inputs: Inputs, run: StepRun, goal: Goal) -> Work:
        """Freeze the norms, and report the change of the images of the split ``search``.

        Raises:
            ConfigError: The network has no instance norms, or its family has no frozen ones.
        """
        network = work.generator.build()
        changed = frozen(
            work.generator, norm_statistics(network, inputs.encoded("train", _BATCH_SIZE, self.num_images))
        )
        seen, after = list(inputs.encoded("search", _BATCH_SIZE, 4 * _BATCH_SIZE)), changed.build()
        with torch.no_grad():
            distance = distance_between(*([image_of(call(net, each)) for each in seen] for net in (after, network)))
        number = len(instance_norms(network))
        note = f"{number} instance norms frozen: PSNR to the network before {distance.psnr_db:.1f} dB"
        facts = {"note": note, "psnr_db": distance.psnr_db, "mean_difference": distance.l1}
        return replace(work, generator=changed, facts=facts)
