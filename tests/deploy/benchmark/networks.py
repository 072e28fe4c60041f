"""Small networks of several kinds, with the inputs that their files take.

Files take any batch but one size, and are written three times as quickly as those of any size.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from torch import Tensor

from gancompress.deploy.named import NamedNetwork
from gancompress.networks.file_form import FileForm, label_map_form
from gancompress.networks.generator import Generator
from gancompress.networks.label_input import LabelInput
from gancompress.networks.registry import FAMILIES, build
from gancompress.quantization import QuantizationOptions, calibrate, quantize

STYLEGAN2 = {"resolution": 8, "channel_max": 8, "latent_size": 6, "num_mapping_layers": 2}
NUM_NOISE = 4**2 + 2 * 8**2
SPADE = {"ngf": 2, "in_channels": 4, "upsampling": "normal"}
SIZE_PX = 64
BATCH = {0: "batch"}


def saved(family: str, config: dict[str, Any]) -> Generator:
    return Generator.from_module(build(family, config), family, config)


def network(name: str, ngf: int, side: int = 16) -> NamedNetwork:
    generator = saved("resnet", {"ngf": ngf, "num_blocks": 1})
    example = FAMILIES.find("resnet").architecture(generator.config).example_inputs((side, side))
    return NamedNetwork(name, generator, FileForm(generator.build(), example, axes=(BATCH,)), example)


def stylegan2(*inputs: Tensor) -> NamedNetwork:
    generator = saved("stylegan2", STYLEGAN2)
    return NamedNetwork("stylegan2", generator, FileForm(generator.build(), inputs), inputs)


def label_maps() -> NamedNetwork:
    """Of three labels, and where objects meet; quicker to export than a SPADE network."""
    generator = saved("resnet", {"ngf": 2, "num_blocks": 1, "in_channels": 4})
    example = FAMILIES.find("resnet").architecture(generator.config).example_inputs((SIZE_PX, SIZE_PX))
    form = replace(label_map_form(generator.build(), 3, example[0]), axes=(BATCH, BATCH))
    assert isinstance(form.module, LabelInput)
    return NamedNetwork("labels", generator, form, (form.module.channels(*form.inputs),))


def quantized(name: str, ngf: int) -> NamedNetwork:
    plain = network(name, ngf)
    module = calibrate(quantize(plain.form.module, QuantizationOptions()), [plain.example], min_images=1).eval()
    return NamedNetwork(name, plain.generator, FileForm(module, plain.example, axes=(BATCH,)), plain.example)
