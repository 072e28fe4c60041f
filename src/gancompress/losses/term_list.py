"""Lists of loss terms in options: ``terms: [{kind: l1, weight: 100}, ...]``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

from pydantic import BeforeValidator

from gancompress.losses.adversarial import Adversarial
from gancompress.losses.term import AnyTerm, TermOptions
from gancompress.options import as_tuple

AnyTerms = Annotated[tuple[AnyTerm, ...], BeforeValidator(as_tuple)]
"""Loss terms in options."""


def named(terms: Sequence[TermOptions]) -> dict[str, TermOptions]:
    """Return the terms with a nonzero weight by name; repeated names get a number."""
    found: dict[str, TermOptions] = {}
    for term in terms:
        if term.weight:
            same = sum(other.name == term.name for other in found.values())
            found[f"{term.name}_{same + 1}" if same else term.name] = term
    return found


def adversarial_of(terms: Mapping[str, TermOptions]) -> Adversarial | None:
    """Return the adversarial term; None without a discriminator."""
    return next((term for term in terms.values() if isinstance(term, Adversarial)), None)


def check_terms(terms: Sequence[TermOptions]) -> None:
    """Check that terms can be minimised together.

    Raises:
        ValueError: None has a weight, several are adversarial, or one needs a discriminator that no other one trains.
    """
    weighted = named(terms)
    if not weighted:
        raise ValueError("terms: got none with a weight above 0, expected one, such as {kind: l1, weight: 100}")
    adversarial = [name for name, term in weighted.items() if isinstance(term, Adversarial)]
    if len(adversarial) > 1:
        raise ValueError(f"terms: got {' and '.join(adversarial)}, expected one adversarial term; leave one out")
    wanting = [name for name, term in weighted.items() if term.compares in ("logits", "discriminator_maps")]
    if wanting and not adversarial:
        raise ValueError(
            f"terms: got {wanting[0]} without an adversarial term, expected {{kind: gan, weight: 1}} beside it: "
            "without it no discriminator learns"
        )
