"""Methods on generators, which keep the family and its options: the weights are those of the method on the module."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from gancompress.channels import ChannelGraph, ChannelPlan
from gancompress.errors import ConfigError
from gancompress.importance import Score
from gancompress.methods.freeze_norms import Statistics, freeze_at
from gancompress.methods.prune import sorted_network
from gancompress.methods.refit import random_crops
from gancompress.networks.cut import cut
from gancompress.networks.generator import Generator
from gancompress.networks.registry import families_with
from gancompress.reconstruction import RefitReport, refit


def prune(generator: Generator, graph: ChannelGraph, plan: ChannelPlan, score: Score) -> Generator:
    """Keep the most important channels of every group.

    Args:
        generator: The generator at full width.
        graph: The channel graph of the network it builds.
        plan: Number of kept channels of each group.
        score: Importance score of channels.

    Returns:
        A generator of the same family, with the plan's widths in its config.

    Raises:
        PlanError: The plan does not fit the graph.
        ConfigError: The score does not apply to some group.
    """
    return cut(sort(generator, graph, score), graph, plan)


def sort(generator: Generator, graph: ChannelGraph, score: Score) -> Generator:
    """Return the same function with the most important channels of every group first.

    Raises:
        ConfigError: The score does not apply to some group.
    """
    return generator.with_weights_of(sorted_network(generator.build(), graph, score))


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
        wide: The generator before pruning, with the kept channels first.
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
    return images if images.ndim != 4 or fitting is None else random_crops(images, fitting, seed)


def frozen(generator: Generator, statistics: Mapping[str, Statistics]) -> Generator:
    """Return a generator with frozen norms instead of its instance norms; their scales and shifts are kept.

    Args:
        generator: One of a family with an option ``norm`` that supports frozen ones.
        statistics: Mean and variance by the norm's path.

    Raises:
        ConfigError: It has no instance norms, or it is of another family.
    """
    options = generator.architecture.options
    changed = {name: "frozen" for name in ("norm", "separable_norm") if options.get(name) == "instance"}
    if not statistics or not changed:
        reason = "a family without frozen norms" if statistics else "no instance norms"
        raise ConfigError(
            f"freeze_norms: got {generator.family}, {reason}; expected instance norms of one of "
            f"{', '.join(families_with(norm='frozen'))}"
        )
    architecture = generator.architecture.with_options(**changed)
    return Generator(architecture, {}).with_weights_of(freeze_at(generator.build(), statistics))
