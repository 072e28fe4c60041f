"""The verb that writes files."""

from __future__ import annotations

import json

import pytest
import torch
from torch import Tensor, nn

from gancompress.errors import ConfigError
from tests.cli.verbs import run
from tests.data.pictures import save_many

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of TorchScript


class Edges(nn.Module):
    def forward(self, images: Tensor) -> list[Tensor]:
        return [images, images.diff(dim=2)]


def test_a_file_is_compared_on_images_where_there_are_any(tmp_path):
    pytest.importorskip("onnxruntime", reason="exports to ONNX, which is not installed")
    small, size = tmp_path / "small", ("--size", "32x32")
    run("prune", "resnet_6blocks", "--set", "ngf=8", "--keep", "0.5", "--out", small, *size)
    photos = save_many(tmp_path / "photos", 8, height=32, width=32)
    torch.jit.script(Edges()).save(tmp_path / "edges.pt")
    seen = ("--calibration", photos, "--perceptual", tmp_path / "edges.pt")
    facts = json.loads(run("export", small, *size, *seen, "--json"))
    assert facts["quality"]["num_images"] == 8
    assert facts["quality"]["psnr_db"] > 90
    assert 0 <= facts["quality"]["perceptual"] < 1e-6
    text = run("export", small, *size, *seen)
    assert "fp32 against PyTorch in float32, 8 images that nothing was chosen by: PSNR" in text
    assert "perceptual distance" in text
    with pytest.raises(ConfigError, match=r"--perceptual: got no --calibration, expected a folder of images"):
        run("export", small, *size, "--perceptual", tmp_path / "edges.pt")
