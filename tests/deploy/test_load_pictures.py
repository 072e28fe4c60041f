"""Pictures of every kind by the same call, for networks of every number of channels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

import gancompress
from gancompress.errors import DataError
from gancompress.io.pictures import MODES, from_standard, to_channels, to_standard
from gancompress.networks.generator import Generator
from gancompress.networks.registry import build

COLOR = np.random.default_rng(0).integers(0, 256, (12, 16, 4), dtype=np.uint8)
RGBA = Image.fromarray(COLOR)


@pytest.fixture(params=[1, 3, 4])
def network(request, tmp_path):
    config = {"ngf": 2, "num_blocks": 1, "in_channels": request.param, "out_channels": request.param}
    torch.manual_seed(0)
    Generator.from_module(build("resnet", config), "resnet", config).save(tmp_path / "net")
    return request.param, gancompress.load(tmp_path / "net")


def test_a_loaded_network_takes_any_picture(network, tmp_path):
    channels, loaded = network
    picture = RGBA
    given = to_channels(picture, channels, "it")
    expected = from_standard(loaded(to_standard(given)[None]))[0]
    picture.save(tmp_path / "a.png")
    for result in (loaded(picture), loaded(tmp_path / "a.png"), loaded(str(tmp_path / "a.png")), loaded(given)):
        assert result.mode == MODES[channels]
        np.testing.assert_array_equal(np.asarray(result).reshape(12, 16, channels), expected)
    np.testing.assert_array_equal(loaded(np.asarray(picture)), expected)
    grey = np.asarray(picture.convert("L"))
    wide = loaded(Image.fromarray(grey.astype(np.uint16) * 257))
    np.testing.assert_array_equal(np.asarray(wide), np.asarray(loaded(Image.fromarray(grey))))
    assert loaded(grey).shape == ((12, 16) if channels == 1 else (12, 16, channels))


def test_what_a_loaded_network_refuses(network, tmp_path):
    channels, loaded = network
    with pytest.raises(DataError, match="got floats from 255 to 255, expected -1 to 1; scale them, or give a picture"):
        loaded(torch.full((1, channels, 12, 16), 255.0))
    with pytest.raises(DataError, match=r"no\.png: no such file, expected a picture"):
        loaded(tmp_path / "no.png")
    (tmp_path / "bad.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"bad.png: got no picture that can be read \(UnidentifiedImageError\)"):
        loaded(tmp_path / "bad.png")
