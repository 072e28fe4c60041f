"""Supervision of a student, and the outputs that its losses compare."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from gancompress.errors import ConfigError
from gancompress.losses import TermOptions
from gancompress.losses.term import Maps
from gancompress.networks.given import Given, arguments, call
from gancompress.networks.outputs import image_of, other_outputs
from gancompress.networks.taps import automatic_taps
from gancompress.objectives.distillation_options import DEFAULT_TERMS, DistillationOptions
from gancompress.objectives.students import tapped
from gancompress.objectives.taps import Side, matched_taps


@dataclass(frozen=True)
class Supervision:
    """Networks that a student learns from, and the loss terms.

    Attributes:
        teacher: Generates the images and maps to learn from; not trained.
        discriminator: Network from outputs to logits, trained in place; None without an adversarial term.
        options: The terms.
        taps: Modules whose maps are compared: the path in both networks, or ``TEACHER=STUDENT``; the options' own taps
            take precedence.
        image_taps: Modules that return intermediate RGB images, in the same form.
    """

    teacher: nn.Module
    discriminator: nn.Module | None
    options: DistillationOptions
    taps: tuple[str, ...] = ()
    image_taps: tuple[str, ...] = ()

    def terms(self) -> tuple[dict[str, tuple[TermOptions, tuple[str, ...]]], tuple[str, ...]]:
        """Return the terms, each with the modules whose outputs it compares, and notes on the terms that are dropped.

        Raises:
            ConfigError: A term compares feature maps, and there are no taps.
        """
        common = self.options.taps or self.taps
        terms = {
            name: (term, term.taps_among(self.image_taps if term.compares == "rgb" else common))
            for name, term in self.options.weighted.items()
        }
        without = [name for name, (term, taps) in terms.items() if term.compares in ("maps", "rgb") and not taps]
        if without and self.options.terms != DEFAULT_TERMS:
            raise ConfigError(
                f"distillation: {without[0]} got no feature maps, expected some; name modules of both networks in "
                "taps, or leave the term out"
            )
        notes = tuple(
            f"the default term {name} is left out: no modules are known whose feature maps can be compared"
            for name in without
        )
        return {name: each for name, each in terms.items() if name not in without}, notes


class Outputs(NamedTuple):
    """Outputs of a network for one batch.

    Attributes:
        image: [b, c, h, w] in [-1, 1]; of other networks the main output, `gancompress.networks.outputs.image_of`.
        maps: Its feature maps.
        others: Other outputs of floats, by name.
        moved_maps: Feature maps for the shifted latents; None if no term compares them.
    """

    image: Tensor
    maps: Maps
    others: Mapping[str, Tensor] = MappingProxyType({})
    moved_maps: Maps | None = None


class Pass(NamedTuple):
    """Forward pass of one network on one batch, with the targets of its losses.

    Attributes:
        student: Outputs of this network.
        target: The image that its image is compared with.
        teacher: Outputs of the teacher.
        logits: The discriminator's output for its image.
        real_logits: The discriminator's output for the first real image, where both images ran in one batch.
        content: Mask of the region in which its image is compared with the target, zeros and ones; None for all of it.
        share: Weight of this network in the losses of the step, which are means over its networks.
        is_first: Whether it is the first network of the step.
        num_images: Images trained on before the step.
    """

    student: Outputs
    target: Tensor
    teacher: Outputs
    logits: Any
    real_logits: Any
    content: Tensor | None
    share: float
    is_first: bool
    num_images: int


@torch.no_grad()
def example_outputs(network: nn.Module, taps: tuple[str, ...], example: Given, side: Side) -> Outputs:
    """Return the outputs of a network in evaluation mode for an example; its running statistics do not change."""
    modes = {module: module.training for module in network.modules()}
    network.eval()
    with tapped(network, taps, side) as maps:
        made = call(network, example)
    for module, mode in modes.items():
        module.training = mode
    return Outputs(image_of(made), maps, other_outputs(made))


def check_same_outputs(student: Outputs, teacher: Outputs) -> None:
    """Raise ConfigError if further outputs of student and teacher differ in name or shape."""
    got, wanted = ({name: tuple(each.shape) for name, each in made.others.items()} for made in (student, teacher))
    if got != wanted:
        raise ConfigError(
            f"student: got the outputs {got} beside the main one, expected those of the teacher: {wanted}"
        )


def common_taps(
    teacher: nn.Module,
    student: nn.Module,
    example: Given,
    of_teacher: Sequence[str],
    of_student: Sequence[str] = (),
) -> tuple[str, ...]:
    """Return the taps of two networks: the same modules, or those whose maps match by size.

    Args:
        teacher: The teacher.
        student: The student, of the same or of another architecture.
        example: An input of both.
        of_teacher: Paths of the teacher's modules.
        of_student: Paths of the student's modules; by default the same where it has them, and else chosen
            automatically.
    """
    if not of_student and set(of_teacher) <= dict(student.named_modules()).keys():
        return tuple(of_teacher)
    own = tuple(of_student) or automatic_taps(student, arguments(student, example))
    theirs = example_outputs(teacher, tuple(of_teacher), example, "teacher").maps
    return matched_taps(theirs, example_outputs(student, own, example, "student").maps)
