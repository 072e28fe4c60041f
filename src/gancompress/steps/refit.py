"""Refit of a pruned network: least-squares weights from the activations of the network before the cut."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor

from gancompress.channels import ChannelGraph, ChannelPlan
from gancompress.errors import ConfigError
from gancompress.networks.generator import Generator
from gancompress.options import Options
from gancompress.reconstruction import RefitReport, refit
from gancompress.steps.recalibration import recalibrated
from gancompress.steps.step import Context, Step, Work, register_step

CROP_PX = 96
NUM_IMAGES = 64
_BATCH_SIZE = 16


class RefitOptions(Options):
    """Inputs of a refit.

    Attributes:
        num_images: Number of training images; fewer if there are not as many.
        crop_px: Side of a random crop of each image, which saves memory for large networks; None takes whole images.
    """

    num_images: Annotated[int, Field(ge=2)] = NUM_IMAGES
    crop_px: Annotated[int, Field(ge=1)] | None = CROP_PX

    def refit(
        self, narrow: Generator, wide: Generator, graph: ChannelGraph, plan: ChannelPlan, context: Context
    ) -> tuple[Generator, dict[str, Any]]:
        """Refit a generator on training images; return it with facts for the record. Raises what `refitted` does."""
        batches = context.images("train", _BATCH_SIZE, self.num_images)
        images = torch.cat([context.task.encode(batch["input"]) for batch in batches])
        if self.crop_px is not None:
            images = cropped(images, wide, self.crop_px, context.seed)
        device = context.accelerator.device
        fitted, report = refitted(narrow, wide, graph, plan, (images,), context.seed, device)
        return fitted, {"note": str(report), "refit": asdict(report)}


@register_step
class Refit(RefitOptions, Step):
    """Step that refits the network pruned by the previous step, without training."""

    kind = "refit"

    def run(self, work: Work, context: Context) -> Work:
        """Refit the work's generator to the network before the cut.

        Raises:
            ConfigError: No step has pruned it, or another step trained it since.
            RefitError: Raised by `gancompress.reconstruction.refit`.
        """
        wide = work.uncut
        if wide is None:
            raise ConfigError(
                "refit: got a network that was not cut, or was trained since, expected one as it was cut; "
                "place refit right behind prune, search or slim"
            )
        graph = context.graph(wide, multiple=1, minimum=1)
        narrow = context.graph(work.generator, multiple=1, minimum=1)
        plan = graph.plan({name: group.size for name, group in narrow.groups.items()})
        fitted, facts = self.refit(work.generator, wide, graph, plan, context)
        return recalibrated(replace(work, generator=fitted, facts=facts), context)


def refitted(
    narrow: Generator,
    wide: Generator,
    graph: ChannelGraph,
    plan: ChannelPlan,
    inputs: Sequence[Tensor],
    seed: int = 0,
    device: torch.device | str = "cpu",
) -> tuple[Generator, RefitReport]:
    """Return a narrow generator with weights solved by `gancompress.reconstruction.refit`, and the report.

    Args:
        narrow: The generator at the plan.
        wide: The generator before the cut, with the kept channels first.
        graph: Graph of the wide network.
        plan: The plan.
        inputs: Arguments of the forward pass.
        seed: Seed of the sampled positions.
        device: Device of both networks.

    Raises:
        RefitError: Raised by `gancompress.reconstruction.refit`.
    """
    network = narrow.build().to(device)
    given = [each.to(device) for each in inputs]
    report = refit(wide.build().to(device), network, graph, plan, given, seed=seed)
    return narrow.with_weights_of(network.cpu()), report


def cropped(images: Tensor, generator: Generator, side: int, seed: int = 0) -> Tensor:
    """Return a random square crop of each image, of a size that the generator accepts.

    Args:
        images: Inputs of the generator, [b, c, h, w]. Inputs of any other shape are returned whole, and so are those of
            a network without a description, whose accepted sizes are unknown.
        generator: The generator.
        side: Desired height and width in pixels; rounded to what the family accepts, and never larger than the images.
        seed: Seed of the crops' positions.
    """
    fitting = generator.architecture.crop_side(side)
    if images.ndim != 4 or fitting is None:
        return images
    height, width = (min(fitting, length) for length in images.shape[2:])
    draw = torch.Generator().manual_seed(seed)
    crops = []
    for image in images:
        y = int(torch.randint(image.shape[1] - height + 1, (), generator=draw))
        x = int(torch.randint(image.shape[2] - width + 1, (), generator=draw))
        crops.append(image[:, y : y + height, x : x + width])
    return torch.stack(crops)
