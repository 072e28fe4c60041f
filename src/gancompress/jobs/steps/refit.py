"""Refit of a pruned network: least-squares weights from the activations of the network before the cut."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Annotated, Any

from pydantic import Field
from torch import Tensor

from gancompress.channels import ChannelGraph, ChannelPlan
from gancompress.errors import ConfigError, RefitError
from gancompress.jobs.steps.recalibration import recalibrated
from gancompress.jobs.steps.step import Goal, Step, StepRun, Work, register_step
from gancompress.methods.generators import cropped, refitted
from gancompress.methods.refit import NUM_IMAGES
from gancompress.networks.cut import cut
from gancompress.networks.generator import Generator
from gancompress.networks.given import Given, arguments, joined
from gancompress.options import Options
from gancompress.reconstruction import images_needed
from gancompress.tasks.inputs import Inputs

CROP_PX = 96
_BATCH_SIZE = 16


class RefitOptions(Options):
    """Inputs of a refit.

    Attributes:
        num_images: Number of training images; fewer if there are not as many.
        crop_px: Side of a random crop of each image, which saves memory for large networks; None takes whole images.
    """

    num_images: Annotated[int, Field(ge=2)] = NUM_IMAGES
    crop_px: Annotated[int, Field(ge=1)] | None = CROP_PX

    def images(self, wide: Generator, inputs: Inputs, seed: int) -> Given:
        """Return the inputs of a refit: training images, or crops of them at places that a seed draws."""
        images = joined(list(inputs.encoded("train", _BATCH_SIZE, self.num_images)))
        if self.crop_px is not None and isinstance(images, Tensor):
            return cropped(images, wide, self.crop_px, seed)
        return images

    def check_images(self, wide: Generator, graph: ChannelGraph, plan: ChannelPlan, inputs: Inputs, seed: int) -> None:
        """Check that there are images enough to refit a network, whatever its weights, at a plan with all blocks.

        Raises:
            RefitError: There are fewer.
        """
        narrow, one = cut(wide, graph, plan).build(), self.model_copy(update={"num_images": 1})
        needed = images_needed(narrow, arguments(narrow, one.images(wide, inputs, seed)))
        given = min(self.num_images, len(inputs.data.open("train")))
        if needed is not None and given < needed:
            raise RefitError(
                f"refit: num_images: got {given} images to refit {wide.family} on, expected at least {needed}, as its "
                "layers have so many unknowns; raise num_images, give more or larger images, or leave refit out"
            )

    def refit(
        self,
        narrow: Generator,
        wide: Generator,
        graph: ChannelGraph,
        plan: ChannelPlan,
        inputs: Inputs,
        run: StepRun,
    ) -> tuple[Generator, dict[str, Any]]:
        """Refit a generator on training images; return it with facts for the record. Raises what `refitted` does."""
        given = arguments(wide.build(), self.images(wide, inputs, run.seed))
        fitted, report = refitted(narrow, wide, graph, plan, given, run.seed, run.device)
        return fitted, {"note": str(report), "refit": asdict(report)}


@register_step
class Refit(RefitOptions, Step):
    """Step that refits the network pruned by the previous step, without training."""

    kind = "refit"

    def run(self, work: Work, inputs: Inputs, run: StepRun, goal: Goal) -> Work:
        """Refit the work's generator to the network before the cut.

        Raises:
            ConfigError: No step has pruned it, or another step trained it since.
            RefitError: Raised by `gancompress.reconstruction.refit`.
        """
        wide = work.uncut
        if wide is None:
            raise ConfigError(
                "refit: got a network that was not pruned, or was trained since, expected a pruned one; place refit "
                "directly after prune, search or slim"
            )
        graph = inputs.graph(wide, multiple=1, minimum=1)
        narrow = inputs.graph(work.generator, multiple=1, minimum=1)
        left_out = set(work.generator.architecture.left_out).difference(wide.architecture.left_out)
        plan = graph.plan({name: group.size for name, group in narrow.groups.items()}, left_out)
        fitted, facts = self.refit(work.generator, wide, graph, plan, inputs, run)
        return recalibrated(replace(work, generator=fitted, facts=facts), inputs, run.device)
