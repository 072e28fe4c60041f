"""Label maps and several inputs by the same call, whatever runs them."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from PIL import Image

import gancompress
from gancompress.deploy import export_generator, find_format
from gancompress.errors import ConfigError, InputSizeError
from gancompress.networks.file_form import FileForm, label_map_form
from gancompress.networks.generator import Generator
from gancompress.networks.label_input import LabelInput
from gancompress.networks.registry import build

pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")

CONFIG = {"ngf": 2, "in_channels": 6, "upsampling": "normal"}
LABELS = (torch.arange(64 * 96) * 7 // 5 % 5).view(1, 64, 96)
EDGES = LABELS % 3 == 0


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    net = build("mobile_spade", CONFIG).eval()
    with torch.no_grad():
        for name, tensor in net.state_dict().items():
            if "running" in name:
                tensor.uniform_(0.5, 1.5)
            elif tensor.is_floating_point():
                tensor.mul_(5)
    return net


@pytest.fixture(scope="module")
def paths(network, tmp_path_factory):
    """The network as files that take labels and edges, as one that takes channels, and as a directory of weights."""
    folder = tmp_path_factory.mktemp("spade")
    generator = Generator.from_module(network, "mobile_spade", CONFIG)
    generator.save(folder / "run")
    channels = torch.cat([torch.nn.functional.one_hot(LABELS, 5).movedim(-1, 1), EDGES[:, None]], 1).float()
    form = replace(label_map_form(network, 5, channels), axes=({}, {}))  # of one size: quickly exported
    paths = {"eager": folder / "run", "channels": folder / "channels.pt2"}
    for name in ("onnx", "torch", *(["openvino"] if find_spec("openvino") else [])):
        paths[name] = folder / find_format(name)[1].file_name
        export_generator(generator, form, paths[name], name)
    export_generator(generator, FileForm(network, (channels,), axes=({},)), paths["channels"], "torch")
    return paths


@pytest.mark.slow
def test_labels_and_edges_of_every_kind_on_every_runtime(network, paths):
    with torch.no_grad():
        expected = LabelInput(network, 5)(LABELS, EDGES)
    shown = ((expected[0].permute(1, 2, 0) + 1) * 127.5).round().clamp(0, 255).numpy()
    assert shown.std() > 2
    for path in paths.values():
        loaded = gancompress.load(path, trust=True)
        torch.testing.assert_close(loaded(LABELS, EDGES), expected, rtol=0, atol=1e-4)
        torch.testing.assert_close(loaded(LABELS.int(), EDGES.long()), expected, rtol=0, atol=1e-4)
        labels, edges = LABELS[0].numpy().astype(np.uint8), EDGES[0].numpy()
        pictures = [Image.fromarray(labels), Image.fromarray((edges * 255).astype(np.uint8))]
        for result in (loaded(labels, edges), loaded(labels[None], edges[None])[0], np.asarray(loaded(*pictures))):
            assert (result.dtype, result.shape) == (np.uint8, (64, 96, 3))
            assert np.abs(result.astype(int) - shown).max() <= 1
        assert isinstance(loaded(*pictures), Image.Image)


@pytest.mark.slow
def test_a_file_says_how_it_takes_labels(paths):
    contract = gancompress.load(paths["onnx"]).contract
    assert (contract["layout"], contract["labels"]) == ("NHW", 5)
    assert not {"channels", "range", "encoding"} & set(contract)
    assert contract["output"] == {"layout": "NCHW", "range": [-1, 1], "color_order": "RGB"}


@pytest.mark.slow
def test_what_does_not_fit_is_said(paths):
    loaded = gancompress.load(paths["onnx"])
    with pytest.raises(ConfigError, match=r"got 1 inputs, expected 2: labels, edges$"):
        loaded(LABELS)
    with pytest.raises(InputSizeError, match=r"got label maps of 60x96 .*expected both divisible by 32"):
        loaded(LABELS[:, :60], EDGES[:, :60])
    with pytest.raises(ConfigError, match=r"got values of shape \[1, 1, 64, 96\], expected label maps \[b, h, w\]"):
        loaded(LABELS[None], EDGES[None])


def test_styles_and_noise_maps(tmp_path):
    config = {"resolution": 16, "channel_max": 8, "latent_size": 6}
    network = build("stylegan2", config).eval()
    with torch.no_grad():
        for name, tensor in network.named_parameters():
            if name.endswith("noise_strength"):
                tensor.fill_(0.5)
    styles, maps = torch.randn(1, 6, 6), torch.randn(1, 16 + 2 * 64 + 2 * 256)
    generator = Generator.from_module(network, "stylegan2", config)
    generator.save(tmp_path / "run")
    export_generator(generator, FileForm(network, (styles, maps)), tmp_path / "net.onnx")
    with torch.no_grad():
        expected = network(styles, maps)
    for path in (tmp_path / "run", tmp_path / "net.onnx"):
        loaded = gancompress.load(path, trust=True)
        torch.testing.assert_close(loaded(styles, maps), expected, rtol=0, atol=1e-4)
        np.testing.assert_allclose(loaded(styles.numpy(), maps.numpy()), expected.numpy(), rtol=0, atol=1e-4)
