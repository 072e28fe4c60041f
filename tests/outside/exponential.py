"""An adversarial loss."""

from gancompress.losses import ADVERSARIAL, Formulas

EXPONENTIAL = Formulas(lambda x: (-x).exp().mean(), lambda x: x.exp().mean(), lambda x: (-x).exp().mean())

ADVERSARIAL.register("exponential")(EXPONENTIAL)
