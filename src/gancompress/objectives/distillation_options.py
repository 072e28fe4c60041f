"""Options of a distillation: its loss terms, and the outputs that they compare."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import model_validator

from gancompress.losses import L1, Adversarial, AnyTerms, Features, TermOptions, adversarial_of, check_terms, named
from gancompress.losses.term import Paths
from gancompress.objectives.old_terms import with_terms
from gancompress.options import Options
from gancompress.perception.content_masks import AnyMask, NoMask

DEFAULT_TERMS = (L1(100), Features(1), Adversarial(1))
"""Default terms of a student; only with these defaults, a term on feature maps is dropped if there are no maps."""


class DistillationOptions(Options):
    """Loss terms of a student, and the outputs that they compare.

    Attributes:
        terms: The terms with their weights; a term of weight 0 is not computed.
        reconstruct: Target of every term that compares images: the truth where there are pairs and else the teacher's
            image (``auto``), or always the teacher's image (``teacher``), so that no truth is needed.
        taps: Modules whose feature maps are compared, by their path in both networks or ``TEACHER=STUDENT``; those of
            the architecture by default.
        content: Mask of the content, found in the teacher's image: pixel distances, ``perceptual`` and ``lpips``
            compare the two images there.
        fixed: Paths of modules of the student whose weights do not change, such as ``mapping``.
    """

    terms: AnyTerms = DEFAULT_TERMS
    reconstruct: Literal["auto", "teacher"] = "auto"
    taps: Paths = ()
    content: AnyMask = NoMask()
    fixed: Paths = ()

    @property
    def weighted(self) -> dict[str, TermOptions]:
        """The terms with a weight, by name."""
        return named(self.terms)

    @property
    def adversarial(self) -> Adversarial | None:
        """The adversarial term; None without a discriminator."""
        return adversarial_of(self.weighted)

    @property
    def compares_images(self) -> bool:
        """True if some term compares the student's image with another one."""
        return any(term.compares == "images" for term in self.weighted.values())

    @property
    def compares_discriminator_maps(self) -> bool:
        """True if some term compares the discriminator's maps of the student's image with those of the real one."""
        return any(term.compares == "discriminator_maps" for term in self.weighted.values())

    @model_validator(mode="before")
    @classmethod
    def _from_the_old_spelling(cls, options: Any) -> Any:
        return with_terms(options) if isinstance(options, Mapping) else options

    @model_validator(mode="after")
    def _terms_fit(self) -> DistillationOptions:
        check_terms(self.terms)
        terms = self.weighted
        of_cyclegan = [name for name, term in terms.items() if term.compares in ("cycle", "identity")]
        if of_cyclegan:
            raise ValueError(
                f"terms: got {of_cyclegan[0]}, which needs a generator of the opposite direction, expected it in the "
                "training of a teacher without pairs; leave it out"
            )
        steps = {name: term.latent_step for name, term in terms.items() if term.latent_step is not None}
        if len(set(steps.values())) > 1:
            raise ValueError(f"terms: got several lengths of latent steps ({', '.join(steps)}), expected one length")
        return self
