"""Loss terms: a class with options and a weight, and a plain function."""

from torch import Tensor

from gancompress.losses import Networks, Term, TermOptions, register_term


@register_term
class Edges(TermOptions):
    """L1 between differences of neighbours, ``step`` pixels apart."""

    kind = "edges"

    step: int = 1

    def build(self, networks: Networks) -> Term:
        def differences(images: Tensor) -> Tensor:
            return images[..., self.step :] - images[..., : -self.step]

        return Term(lambda c: (differences(c.image) - differences(c.target)).abs().mean())


def brightness(image: Tensor, target: Tensor) -> Tensor:
    return (image.mean() - target.mean()).abs()


def unreduced(image: Tensor, target: Tensor) -> Tensor:
    return (image - target).abs()
