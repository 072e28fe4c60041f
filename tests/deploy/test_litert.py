"""LiteRT files: names in order, metadata, several inputs, and what the converter refuses."""

from __future__ import annotations

import json
import zipfile

import pytest
import torch
from torch import nn

import gancompress
from gancompress.deploy import FileOptions, export_generator, export_module
from gancompress.errors import ExportError
from gancompress.networks.file_form import FileForm
from gancompress.networks.generator import Generator
from gancompress.networks.label_input import LabelInput
from gancompress.networks.registry import build
from tests.deploy.two_outputs import check_two_outputs

pytest.importorskip("litert_torch")

STYLEGAN2 = {"resolution": 8, "channel_max": 8, "latent_size": 6, "widths": {"layers.2.conv": 5}}


def test_inputs_keep_their_names_and_order(tmp_path):
    check_two_outputs(tmp_path / "net.tflite")
    assert json.loads(zipfile.ZipFile(tmp_path / "net.tflite").read("gancompress.json")) == {"layout": "NCHW"}


def test_from_styles_and_noise_maps(tmp_path):
    network = build("stylegan2", STYLEGAN2)
    with torch.no_grad():
        for name, tensor in network.named_parameters():
            if name.endswith("noise_strength"):
                tensor.fill_(0.5)
    generator = Generator.from_module(network, "stylegan2", STYLEGAN2)
    inputs = (torch.randn(1, 4, 6), torch.randn(1, 4**2 + 2 * 8**2))
    report = export_generator(generator, FileForm(generator.build(), inputs), tmp_path / "net.tflite", "litert")
    assert report.max_difference is not None
    assert report.max_difference < 1e-4
    with torch.no_grad():
        torch.testing.assert_close(gancompress.load(report.path, threads=1)(*inputs), generator.build()(*inputs))


def test_labels_and_truth_values(tmp_path):
    net, path = LabelInput(nn.Conv2d(6, 3, 1), 5), tmp_path / "net.tflite"
    labels = (torch.arange(96) * 7 % 5).view(1, 8, 12)
    edges, facts = labels % 3 == 0, {"labels": "5", "layout": "NHW"}
    export_module(
        net, (labels.int(), edges), path, options=FileOptions(input_names=["labels", "edges"], metadata=facts)
    )
    with torch.no_grad():
        torch.testing.assert_close(gancompress.load(path)(labels, edges.long()), net(labels, edges))


class Half(nn.Module):
    def forward(self, images):
        return nn.functional.interpolate(images, (4, 2), mode="nearest")


def test_the_nearest_pixel_is_that_of_pytorch(tmp_path):
    report = export_module(Half(), (torch.rand(1, 3, 16, 8),), tmp_path / "net.tflite")
    assert report.max_difference == 0


def test_what_the_converter_refuses(tmp_path):
    net = nn.ConvTranspose2d(3, 3, 3, stride=2, padding=1, output_padding=1)
    with pytest.raises(ExportError, match=r"lacks the operator ConvTranspose; .* odd_transposed_convolutions"):
        export_module(net, (torch.rand(1, 3, 8, 8),), tmp_path / "net.tflite")
    assert list(tmp_path.iterdir()) == []
