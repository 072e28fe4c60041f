"""Settings of a perceptual loss: the first map of VGG-16 alone."""

from gancompress.losses import PERCEPTUAL, PerceptualSettings

FIRST_MAP = PerceptualSettings("vgg16", ("relu1_2",), content=(1.0,), style=(0.0,))

PERCEPTUAL.register("first_map")(FIRST_MAP)
