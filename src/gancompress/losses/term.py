"""Loss terms: options from a recipe or a caller, and the loss that they build for two networks.

To add a term, write one file with its formula and a subclass of `TermOptions` under `register_term`. A term of another
package is installed as an entry point of the group ``gancompress.terms``, or given by its import path.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, SerializeAsAny
from torch import Tensor, nn

from gancompress.options import as_tuple
from gancompress.registry import Kind, KindRegistry

Maps = Mapping[str, Tensor]
"""Feature maps [b, c, ...] by the path of the module that returned them."""

Weight = Annotated[float, Field(ge=0)]
"""Factor of a loss."""

Paths = Annotated[tuple[str, ...], BeforeValidator(as_tuple)]
"""Paths of modules, such as ``down.1``."""


Compared = Literal["images", "maps", "rgb", "logits", "discriminator_maps", "nothing", "cycle", "identity"]
"""Outputs that a term compares, see `TermOptions.compares`."""


@dataclass(frozen=True)
class Comparison:
    """Outputs of the trained network, and maybe of its teacher, for one batch.

    Attributes:
        image: The trained network's image [b, c, h, w] in [-1, 1].
        target: Target image, of the same shape.
        content: Mask of the compared pixels, zeros and ones [b, 1, h, w]; None compares all.
        maps: The student's feature maps.
        teacher_maps: The teacher's feature maps, of the same modules.
        logits: The discriminator's output for the trained network's image; None without a discriminator.
        real_logits: Its output for the real image; None unless a term compares the two.
        moved_maps: The student's feature maps after a step of the latents; None unless a term needs them.
        moved_teacher_maps: The teacher's feature maps after the step.
        others: Other outputs of student and teacher by name, of networks with several.
    """

    image: Tensor
    target: Tensor
    maps: Maps = field(default_factory=dict)
    teacher_maps: Maps = field(default_factory=dict)
    logits: Any = None
    real_logits: Any = None
    content: Tensor | None = None
    moved_maps: Maps | None = None
    moved_teacher_maps: Maps | None = None
    others: Mapping[str, tuple[Tensor, Tensor]] = field(default_factory=dict)

    @property
    def of_content(self) -> tuple[Tensor, Tensor]:
        """Image and target, set to 0 outside of the content."""
        if self.content is None:
            return self.image, self.target
        return self.image * self.content, self.target * self.content


@dataclass(frozen=True)
class Networks:
    """Properties of the networks that a term is built for; without a teacher there are no taps.

    Attributes:
        taps: Modules whose maps are compared: the path in both networks, or ``TEACHER=STUDENT``.
        student_channels: Widths of the student's maps by tap; in a supernet those at full width.
        teacher_channels: Widths of the teacher's maps.
        elastic: Whether the student's maps may be narrower than ``student_channels``.
        image: Any image of the teacher, or of the trained network without one, [1, c, h, w].
        others: Names of the other outputs of networks with several.
    """

    taps: tuple[str, ...]
    student_channels: Mapping[str, int]
    teacher_channels: Mapping[str, int]
    elastic: bool
    image: Tensor
    others: tuple[str, ...] = ()


@dataclass(frozen=True)
class Term:
    """A loss built for two networks.

    Attributes:
        loss: The unweighted loss, a scalar and a mean over the batch.
        learned: Module that trains with the student and never enters its state dict.
        frozen: Module that is evaluated but not trained.
    """

    loss: Callable[[Comparison], Tensor]
    learned: nn.Module | None = None
    frozen: nn.Module | None = None


class TermOptions(Kind, ABC):
    """Base of options of a loss term. The weight may be given by position: ``L1(100)``.

    Attributes:
        compares: ``images``, the student's image with the target; ``maps``, feature maps of student and teacher;
            ``rgb``, the images that generators return at lower resolutions; ``logits``, the discriminator's output for
            the student's image; ``discriminator_maps``, its feature maps for that image and the real one; ``nothing``,
            a regulariser of the student's image; ``cycle``, an image with its translation there and back; ``identity``,
            an image of the target domain with its translation, both in the training of CycleGAN.
        weight: Factor of the loss; a term of weight 0 is neither built nor computed.
    """

    compares: ClassVar[Compared] = "images"

    weight: Weight = Field(1.0, kw_only=False)  # for type checkers: may also be positional

    def __init__(self, weight: float | None = None, /, **options: Any) -> None:
        """Validate the options.

        Args:
            weight: Factor of the loss.
            options: Every other option by name.

        Raises:
            ConfigError: An option is unknown or does not fit.
        """
        super().__init__(**({} if weight is None else {"weight": weight}), **options)

    @property
    def name(self) -> str:
        """Name in logs and messages."""
        return self.kind or type(self).__name__

    @property
    def latent_step(self) -> float | None:
        """Length of the latent step for a second pass of both networks; None for no such pass."""
        return None

    def taps_among(self, common: tuple[str, ...]) -> tuple[str, ...]:
        """Return the paths of the modules whose outputs the term compares.

        Args:
            common: Taps of the architecture, or those that the recipe gives for all terms.
        """
        return common if self.compares in ("maps", "rgb") else ()

    @abstractmethod
    def build(self, networks: Networks) -> Term:
        """Build the loss.

        Raises:
            ConfigError: The options do not fit the networks.
            CheckpointError: A network that it needs cannot be found or read.
        """


class TappedOptions(TermOptions):
    """Base of options of a term on the outputs of modules.

    Attributes:
        taps: Paths of the modules, or ``TEACHER=STUDENT``; those of the architecture by default.
    """

    compares = "maps"

    taps: Paths = ()

    def taps_among(self, common: tuple[str, ...]) -> tuple[str, ...]:
        """Return the term's own taps, or else the common ones."""
        return self.taps or common


TERMS: KindRegistry[TermOptions] = KindRegistry("terms", TermOptions, "a loss term")
"""Every loss term by its kind."""

register_term = TERMS.add
"""Register a subclass of `TermOptions` under its ``kind``; a decorator."""

AnyTerm = Annotated[SerializeAsAny[TermOptions], BeforeValidator(TERMS.parse)]
"""A term in options: options, a mapping of ``kind`` and options, a kind, a function, or an import path of one."""


def on_maps(loss: nn.Module) -> Term:
    """Return the term of a loss on both networks' maps; the loss owns the layers that adapt the student's."""
    return Term(lambda c: loss(c.maps, c.teacher_maps), learned=loss)
