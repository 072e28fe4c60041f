"""A StyleGAN2 as a file: from noise, from styles, and with noise maps of the user's own."""

from __future__ import annotations

import pytest
import torch

from gancompress.deploy import export_generator
from gancompress.networks.file_form import FileForm
from gancompress.networks.generator import Generator
from gancompress.networks.registry import build

pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")

NUM_NOISE = 4**2 + 2 * 8**2


@pytest.mark.parametrize(
    "inputs",
    [
        (torch.randn(1, 6),),
        (torch.randn(1, 6), torch.randn(1, NUM_NOISE)),
        (torch.randn(1, 1, 6),),
        (torch.randn(1, 4, 6), torch.randn(1, NUM_NOISE)),
    ],
    ids=["z", "z and noise maps", "w", "w+ and noise maps"],
)
def test_the_file_agrees_for_any_batch(inputs, tmp_path):
    config = {"resolution": 8, "channel_max": 8, "latent_size": 6, "widths": {"layers.2.conv": 5}}
    network = build("stylegan2", config)
    with torch.no_grad():
        for name, tensor in network.named_parameters():
            if name.endswith("noise_strength"):
                tensor.fill_(0.5)
    generator = Generator.from_module(network, "stylegan2", config)
    report = export_generator(generator, FileForm(generator.build(), inputs), tmp_path / "net.onnx")
    assert report.max_difference < 1e-4
    assert [case.input_shapes[0][0] for case in report.cases] == [1, 2]
