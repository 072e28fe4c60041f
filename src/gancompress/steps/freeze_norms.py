"""Frozen norms: instance norms become scales and shifts with fixed statistics, which fold into convolutions.

The conversion is not exact, because an instance norm computes the statistics of each image. So the change is measured
and reported, and a step that trains (``finetune``) should follow.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from gancompress.errors import ConfigError, DataError
from gancompress.networks.generator import Generator
from gancompress.networks.registry import families_with
from gancompress.quantization import distance_between
from gancompress.steps.step import Context, Step, Work, register_step

_BATCH_SIZE = 4


@register_step
class FreezeNorms(Step):
    """Step that freezes the instance norms of the current network.

    Attributes:
        num_images: Training images whose statistics are averaged.
    """

    kind = "freeze_norms"

    num_images: Annotated[int, Field(ge=1)] = 64

    def run(self, work: Work, context: Context) -> Work:
        """Freeze the norms, and report the change of the images of the split ``search``.

        Raises:
            ConfigError: The network has no instance norms, or its family has no frozen ones.
            DataError: There are fewer training images.
        """
        if (available := len(context.data.open("train"))) < self.num_images:
            raise DataError(
                f"freeze_norms: num_images: got {self.num_images}, but the training data has {available}; lower it"
            )
        network = work.generator.build()
        statistics = norm_statistics(network, _inputs(context, "train", self.num_images))
        frozen = frozen_generator(work.generator, statistics)
        seen = list(_inputs(context, "search", 4 * _BATCH_SIZE))
        after = frozen.build()
        with torch.no_grad():
            distance = distance_between([after(each) for each in seen], [network(each) for each in seen])
        note = f"{len(statistics)} instance norms frozen: PSNR to the network before {distance.psnr_db:.1f} dB"
        facts = {"note": note, "psnr_db": distance.psnr_db, "mean_difference": distance.l1}
        return replace(work, generator=frozen, facts=facts)


def _inputs(context: Context, split: str, num_images: int) -> Iterable[Tensor]:
    return (context.task.encode(batch["input"]) for batch in context.images(split, _BATCH_SIZE, num_images))


def norm_statistics(network: nn.Module, batches: Iterable[Tensor]) -> dict[str, tuple[Tensor, Tensor]]:
    """Return mean and biased variance of every channel of an instance norm's input, each averaged over images.

    Args:
        network: A network in evaluation mode.
        batches: Inputs [b, c, h, w].

    Returns:
        [c] and [c] by the norm's path.
    """
    sums: dict[str, list[Tensor]] = {}
    norms = {path: layer for path, layer in network.named_modules() if isinstance(layer, nn.InstanceNorm2d)}

    def watch(path: str) -> torch.utils.hooks.RemovableHandle:
        def see(_: nn.Module, given: tuple[Tensor, ...]) -> None:
            variance, mean = torch.var_mean(given[0].double(), (2, 3), correction=0)
            old = sums.get(path, [0.0, 0.0])
            sums[path] = [old[0] + mean.sum(0), old[1] + variance.sum(0)]

        return norms[path].register_forward_pre_hook(see)

    handles, number = [watch(path) for path in norms], 0
    with torch.no_grad():
        for batch in batches:
            network(batch)
            number += len(batch)
    for handle in handles:
        handle.remove()
    return {path: ((mean / number).float(), (variance / number).float()) for path, (mean, variance) in sums.items()}


def frozen_generator(generator: Generator, statistics: dict[str, tuple[Tensor, Tensor]]) -> Generator:
    """Return a generator with frozen norms instead of its instance norms; their scales and shifts are kept.

    Args:
        generator: One of a family with an option ``norm`` that supports frozen ones.
        statistics: Mean and variance by the norm's path.

    Raises:
        ConfigError: It has no instance norms, or it is of another family.
    """
    options = generator.architecture.options
    frozen = {name: "frozen" for name in ("norm", "separable_norm") if options.get(name) == "instance"}
    if not statistics or not frozen:
        reason = "no instance norms" if not statistics else "a family without frozen norms"
        raise ConfigError(
            f"freeze_norms: got {generator.family}, {reason}; expected instance norms of one of "
            f"{', '.join(families_with(norm='frozen'))}"
        )
    architecture = generator.architecture.with_options(**frozen)
    state = {**architecture.build().state_dict(), **generator.state}
    for path, (mean, variance) in statistics.items():
        state |= {f"{path}.running_mean": mean, f"{path}.running_var": variance}
    return Generator(architecture, state)
