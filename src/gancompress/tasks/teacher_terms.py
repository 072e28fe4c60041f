"""Loss terms of a generator that is trained without a teacher."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import torch
from torch import Tensor, nn

from gancompress.errors import ConfigError
from gancompress.losses import (
    TERMS,
    AdversarialLoss,
    Comparison,
    Networks,
    Term,
    TermOptions,
    adversarial_of,
    balance_gradients,
    named,
)
from gancompress.losses.term import Compared
from gancompress.training import Losses

_TEACHERS_IMAGES = ("teacher", "both")
"""Values of the adversarial term's ``real`` that need a teacher."""


class TeacherTerms:
    """Loss terms of a generator that is trained without a teacher.

    Attributes:
        compares: Outputs that the terms compare, see `TermOptions.compares`.
        gan: The adversarial loss; None without a discriminator.
        learned: Modules of the terms that train with the generator, by name.
        frozen: Modules of the terms that are evaluated but not trained, by name.
    """

    def __init__(
        self, terms: Sequence[TermOptions], image: Tensor, known: Collection[Compared], *, adversarial: bool = False
    ) -> None:
        """Build the terms.

        Args:
            terms: The terms; those of weight 0 are not built.
            image: Any image of the generator, [1, c, h, w].
            known: Outputs that the objective can compare.
            adversarial: Whether the objective needs an adversarial term.

        Raises:
            ConfigError: A term compares something else or does not fit the image, or the adversarial term is lacking.
            CheckpointError: A network that a term needs cannot be found or read.
        """
        weighted = named(terms)
        _check(weighted, known)
        self._adversarial = adversarial_of(weighted)
        if adversarial and self._adversarial is None:
            raise ConfigError(
                "terms: got none that is adversarial, expected {kind: gan, weight: 1, balance: null} among them: "
                "nothing else shows the generator its target domain"
            )
        self.gan = None if self._adversarial is None else AdversarialLoss(self._adversarial.form)
        self.compares = {term.compares for term in weighted.values()}
        networks = Networks(taps=(), student_channels={}, teacher_channels={}, elastic=False, image=image)
        self._terms: dict[str, tuple[TermOptions, Term]] = {
            name: (term, term.build(networks)) for name, term in weighted.items()
        }
        built = {name: term for name, (_, term) in self._terms.items()}
        self.learned: dict[str, nn.Module] = {name: term.learned for name, term in built.items() if term.learned}
        self.frozen: dict[str, nn.Module] = {name: term.frozen for name, term in built.items() if term.frozen}

    def losses(self, compared: Comparison, **others: Comparison) -> Losses:
        """Return the weighted terms by name; the weight of the adversarial one is lowered to its ``balance``.

        Args:
            compared: Outputs of a batch.
            others: Those for terms that compare other outputs, by `TermOptions.compares`.
        """
        found = {
            name: term.weight * built.loss(others.get(term.compares, compared))
            for name, (term, built) in self._terms.items()
        }
        if self._adversarial is None or self._adversarial.balance is None or len(found) == 1:
            return found
        name = next(name for name, (term, _) in self._terms.items() if term is self._adversarial)
        total = torch.stack([loss.float() for other, loss in found.items() if other != name]).sum()
        balance = balance_gradients(found[name], total, compared.image, self._adversarial.balance)
        return found if balance is None else {**found, name: balance.term}


def _check(terms: Mapping[str, TermOptions], known: Collection[Compared]) -> None:
    """Raise ConfigError if training without a teacher by this objective cannot compute a term."""
    for name, term in terms.items():
        if term.compares not in known or term.latent_step is not None:
            fitting = ", ".join(sorted(kind for kind in TERMS if TERMS[kind].compares in known))
            raise ConfigError(
                f"terms: got {name}, which compares {term.compares.replace('_', ' ')}, but training without a teacher "
                f"by this method has none; expected some of: {fitting}"
            )
    adversarial = adversarial_of(terms)
    if adversarial is not None and adversarial.real in _TEACHERS_IMAGES:
        raise ConfigError(
            f"terms: gan: real: got '{adversarial.real}' without a teacher, expected 'target': the images of the data"
        )
