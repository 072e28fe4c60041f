"""Conventions for counting MACs: the true count, and three other units from the papers.

A convolution of ``Cin`` to ``Cout`` channels in ``g`` groups with a kernel of ``k`` taps costs ``Cout * Cin / g *
k`` MACs at every output position. The conventions differ in the resolution at which a transposed convolution is
counted, and in the cheap layers that they count.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

Convention = Literal["true", "outsize", "gc", "gi"]
CONVENTIONS: tuple[str, ...] = get_args(Convention)


@dataclass(frozen=True)
class Macs:
    """MACs of a network in every convention, for the batch they were counted with.

    Attributes:
        true: Convolutions and linear layers; a transposed convolution at its *input* resolution, as it is computed.
        outsize: The same with a transposed convolution at its *output* resolution: ``stride ** n`` times too many.
            torchprofile counts so, and the hook counter of GAN Slimming.
        cheap_layers: Other layers that torchprofile counts, as GAN Compression published it: 1 for each output element
            of an instance norm (affine or not), of another affine norm, an elementwise product of two tensors, a
            leaky ReLU, an average pooling and a mean; 4 for each output element of a bilinear up-sampling.
    """

    true: int
    outsize: int
    cheap_layers: int

    @property
    def gc(self) -> int:
        """MACs as the tables of GAN Compression print them. Source: Li et al., CVPR 2020, released counters."""
        return self.outsize + self.cheap_layers

    @property
    def gi(self) -> float:
        """``outsize`` in units of 1024 ** 3, the "G" and "GFLOPs" of GAN Slimming.

        Source: Wang et al., ECCV 2020, figures.
        """
        return self.outsize / 1024**3

    def count(self, convention: Convention) -> int | float:
        """Return the figure in the convention of this name."""
        return getattr(self, convention)

    def __add__(self, other: Macs) -> Macs:
        """Return the sum of both, in every convention."""
        return Macs(self.true + other.true, self.outsize + other.outsize, self.cheap_layers + other.cheap_layers)
