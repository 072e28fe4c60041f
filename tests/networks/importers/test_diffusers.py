"""Folders of diffusers: by the package where it is installed, else by a stand-in of its documented interface."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from gancompress.channels import trace
from gancompress.errors import CheckpointError
from gancompress.networks.cut import cut
from gancompress.networks.generator import Generator
from gancompress.networks.importers import files_of, load_generator

CONFIG = {
    "in_channels": 3,
    "out_channels": 3,
    "latent_channels": 4,
    "block_out_channels": [8, 16],
    "down_block_types": ["DownEncoderBlock2D"] * 2,
    "up_block_types": ["UpDecoderBlock2D"] * 2,
    "layers_per_block": 1,
    "norm_num_groups": 4,
}


class StandIn(nn.Module):
    """An autoencoder with the parts of `AutoencoderKL`."""

    def __init__(self, block_out_channels: tuple[int, ...], latent_channels: int = 4, **_: Any) -> None:
        super().__init__()
        width = block_out_channels[-1]
        self.encoder = nn.Conv2d(3, 2 * latent_channels, 3, 2, 1)
        self.quant_conv = nn.Conv2d(2 * latent_channels, 2 * latent_channels, 1)
        self.post_quant_conv = nn.Conv2d(latent_channels, latent_channels, 1)
        self.decoder = nn.Sequential(
            nn.Conv2d(latent_channels, width, 3, padding=1), nn.SiLU(), nn.ConvTranspose2d(width, 3, 4, 2, 1)
        )

    def decode(self, latents: Tensor) -> Any:
        return type("Output", (), {"sample": self.decoder(self.post_quant_conv(latents))})


@pytest.fixture(params=["stand-in", "installed"])
def autoencoder(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> nn.Module:
    if request.param == "installed":
        kind: Any = pytest.importorskip("diffusers").AutoencoderKL
    else:
        module = ModuleType("diffusers")
        vars(module)["AutoencoderKL"] = kind = StandIn
        monkeypatch.setitem(sys.modules, "diffusers", module)
    return kind(**CONFIG).eval()


@pytest.fixture
def folder(autoencoder: nn.Module, tmp_path: Path) -> Path:
    (tmp_path / "vae").mkdir()
    described = {"_class_name": "AutoencoderKL", "_diffusers_version": "0.31.0", **CONFIG}
    (tmp_path / "vae" / "config.json").write_text(json.dumps(described))
    save_file(autoencoder.state_dict(), tmp_path / "vae" / "diffusion_pytorch_model.safetensors")
    return tmp_path / "vae"


@torch.no_grad()
def test_the_decoder(folder: Path, autoencoder: Any, tmp_path: Path) -> None:
    generator = load_generator(f"{folder}#decoder")
    rule, images = generator.architecture.input_rule, str(generator.architecture.images)
    assert rule is not None
    assert (rule.channels, rule.scale, images) == (4, 2, "unchanged to -1..1")
    latents = torch.randn(2, 4, 8, 8)
    generator.save(tmp_path / "saved")
    for each in (generator, Generator.load(tmp_path / "saved")):
        torch.testing.assert_close(each.build()(latents), autoencoder.decode(latents).sample, rtol=0, atol=0)
    (example,) = generator.architecture.example_inputs((8, 8))
    graph = trace(generator.build(), (example,), multiple=4, minimum=4)
    small = cut(generator, graph, graph.uniform_plan(0.5))
    assert small.num_parameters < generator.num_parameters
    assert small.build()(example).shape == (1, 3, 16, 16)


def test_the_encoder_and_the_whole(folder: Path) -> None:
    encoder, whole = load_generator(f"{folder}#encoder"), load_generator(folder)
    assert encoder.build()(torch.zeros(1, 3, 16, 16)).shape == (1, 8, 8, 8)
    assert whole.family == "diffusers:AutoencoderKL"
    assert {"decoder", "encoder"} <= {name.partition(".")[0] for name in whole.state}
    assert [path.name for path in files_of(folder)] == ["config.json", "diffusion_pytorch_model.safetensors"]


def test_folders_that_cannot_be_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CheckpointError, match="got the part 'unet', expected one of decoder, encoder"):
        load_generator(f"{folder}#unet")
    with pytest.raises(CheckpointError, match="got a family for a folder of diffusers"):
        load_generator(folder, "resnet")
    config = folder / "config.json"
    config.write_text(config.read_text().replace('"latent_channels": 4', '"latent_channels": 6'))
    with pytest.raises(CheckpointError, match=r"do not fit its config.json: .* of another shape"):
        load_generator(f"{folder}#decoder")
    config.write_text(config.read_text().replace("AutoencoderKL", "AutoencoderOfTomorrow"))
    with pytest.raises(CheckpointError, match="got the class 'AutoencoderOfTomorrow', expected a network of the"):
        load_generator(folder)
    (folder / "diffusion_pytorch_model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"found no .safetensors file"):
        load_generator(folder)


def test_without_diffusers_the_message_names_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(CheckpointError, match=r"needs that package .*pip install 'gancompress\[diffusers\]'"):
        load_generator(folder)
