"""Spectral distances between a sound and its target."""

from __future__ import annotations

from pydantic import Field
from torch import Tensor

from gancompress.losses.shapes import check_same_shape
from gancompress.losses.term import Comparison, Networks, Term, TermOptions, register_term
from gancompress.perception.spectra import mel_distance, stft_distance


@register_term
class Stft(TermOptions):
    """Multi-resolution distance of short-time Fourier magnitudes, `gancompress.perception.spectra.stft_distance`."""

    kind = "stft"

    def build(self, networks: Networks) -> Term:
        """Return the term."""
        return Term(lambda c: stft_distance(*_sounds(self.kind, c)).mean())


@register_term
class Mel(TermOptions):
    """Distance of log-mel spectra, `gancompress.perception.spectra.mel_distance`.

    Attributes:
        sample_rate: Samples of a second.
    """

    kind = "mel"

    sample_rate: int = Field(default=22050, ge=1)

    def build(self, networks: Networks) -> Term:
        """Return the term."""
        return Term(lambda c: mel_distance(*_sounds(self.kind, c), self.sample_rate).mean())


def _sounds(kind: str, compared: Comparison) -> tuple[Tensor, Tensor]:
    check_same_shape(kind, compared.image, compared.target)
    return compared.image, compared.target
