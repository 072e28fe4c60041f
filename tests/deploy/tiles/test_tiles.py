"""Large images by tiles: the same as whole ones, in bounded memory, and refused where they cannot be."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import gancompress
from gancompress.deploy.load import Loaded
from gancompress.deploy.runtimes.runner import Input, Runner
from gancompress.deploy.tiles import parts_of, probe_locality, spans
from gancompress.errors import CheckpointError, ConfigError, InputSizeError
from gancompress.networks.generator import Generator
from gancompress.networks.locality import Locality, measure_locality
from gancompress.networks.registry import build

PIXELS = np.random.default_rng(0).integers(0, 256, (45, 70, 3), dtype=np.uint8)
IMAGE = torch.rand(1, 3, 45, 70, generator=torch.Generator().manual_seed(0)) * 2 - 1
COMPACT = {"nf": 4, "num_conv": 3}
FACTS = {"layout": "NCHW", "range": [-1, 1], "channels": 3}


@pytest.fixture(scope="module")
def compact():
    torch.manual_seed(0)
    network = build("srvggnet_compact", COMPACT)
    for parameter in network.parameters():
        nn.init.uniform_(parameter, -0.4, 0.4)
    return Generator.from_module(network, "srvggnet_compact", COMPACT)


@pytest.fixture(scope="module")
def upscaler(compact, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiles") / "net"
    compact.save(folder)
    return gancompress.load(folder)


def file_of(network: nn.Module, shape: tuple[int | None, ...], **facts) -> tuple[Loaded, list[tuple[int, ...]]]:
    """A network as a file of one input, and the shapes that it has run on."""
    seen: list[tuple[int, ...]] = []

    @torch.no_grad()
    def run(values: tuple[Tensor, ...]) -> list[Tensor]:
        seen.append(tuple(values[0].shape))
        result = network(*values)
        return [result] if isinstance(result, Tensor) else list(result)

    runner = Runner(run, inputs=(Input("input", shape, torch.float32),))
    return Loaded(Path("model.onnx"), runner, {**FACTS, **facts}), seen


@pytest.mark.parametrize(
    ("length", "side", "overlap"), [(100, 20, 4), (20, 20, 4), (21, 20, 9), (7, 20, 3), (64, 16, 0)]
)
def test_spans_cover_an_axis_once_and_keep_clear_of_inner_ends(length, side, overlap):
    found = spans(length, side, overlap)
    assert [pixel for each in found for pixel in range(each.first, each.behind)] == list(range(length))
    for each in found:
        assert each.stop - each.start == min(length, side)
        assert each.start == 0 or each.first - each.start >= overlap
        assert each.stop == length or each.stop - each.behind >= overlap


def test_tiles_give_the_whole_image(upscaler):
    whole = upscaler(IMAGE, tiles=None)
    for tiles in (11, 20, 64):
        assert (upscaler(IMAGE, tiles=tiles) - whole).abs().max() < 1e-5
    assert (upscaler(IMAGE, tiles=16, overlap=0) - whole).abs().max() > 1e-3  # there seams are seen
    pixels = upscaler(PIXELS, tiles=None)
    assert np.abs(upscaler(PIXELS, tiles=20).astype(int) - pixels).max() <= 1
    picture = upscaler(Image.fromarray(PIXELS), tiles=20)
    assert picture.size == (280, 180)
    assert np.abs(np.asarray(picture).astype(int) - pixels).max() <= 1


def test_large_images_run_by_tiles_alone():
    network = nn.Conv2d(3, 1, 3, 1, 1)
    run, seen = file_of(network, (None, 3, None, None), tiles=Locality(1, 1, Fraction(1)).describe())
    assert run(torch.zeros(1, 3, 600, 700)).shape == (1, 1, 600, 700)
    assert set(seen) == {(1, 3, 256, 256)}  # nothing is known of its memory
    seen.clear()
    run(torch.zeros(1, 3, 600, 700), tiles=None)
    run(torch.zeros(1, 3, 300, 512))
    assert seen == [(1, 3, 600, 700), (1, 3, 300, 512)]


def test_a_file_of_one_size_takes_any_image(compact):
    network = compact.build()
    run, seen = file_of(network, (1, 3, 24, 32), tiles=compact.locality(3).describe())
    with torch.no_grad():
        expected = network(IMAGE)
    assert (run(IMAGE) - expected).abs().max() < 1e-5
    assert run(IMAGE[..., :10, :40]).shape == (1, 3, 40, 160)  # a side shorter than the file's is continued
    assert set(seen) == {(1, 3, 24, 32)}


def test_sides_that_are_no_multiple_are_continued():
    network = nn.Sequential(nn.PixelUnshuffle(4), nn.Conv2d(48, 48, 3, 1, 1), nn.PixelShuffle(4)).eval()
    run, _ = file_of(network, (None, 3, None, None), size_multiple_px=4)
    with torch.no_grad():
        padded = nn.functional.pad(IMAGE, (0, 2, 0, 3), mode="replicate")
        expected = network(padded)[..., :45, :70]
    assert (run(IMAGE) - expected).abs().max() < 1e-5
    assert (run(IMAGE, tiles=24) - expected).abs().max() < 1e-5


@pytest.mark.parametrize("fixed", [None, (64, 64)])
def test_a_file_that_says_nothing_is_probed(fixed):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 4, 2, 1), nn.ReLU(), nn.ConvTranspose2d(4, 3, 4, 2, 1)).eval()
    with torch.no_grad():
        found = probe_locality(network, 3, fixed)
        assert found == Locality(4, 2, Fraction(1))
        assert probe_locality(nn.Sequential(network, nn.InstanceNorm2d(3)), 3, fixed) is None
    assert measure_locality(network, 3) == Locality(4, 2, Fraction(1), 16)


def test_a_file_of_an_own_class_says_how_it_is_run(tmp_path):
    pytest.importorskip("onnxscript")
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3, 1, 1), nn.Conv2d(4, 12, 3, 1, 1), nn.PixelShuffle(2), nn.Sigmoid())
    path = gancompress.export(network, IMAGE[..., :16, :16] / 2 + 0.5, tmp_path / "a.onnx", image_range="0..1").path
    run = gancompress.load(path)
    assert run.contract["range"] == [-1, 1]
    assert Locality.from_description(run.contract["tiles"]) == Locality(2, 1, Fraction(2), 96)
    with torch.no_grad():
        expected = network(IMAGE / 2 + 0.5) * 2 - 1
    assert (run(IMAGE, tiles=16) - expected).abs().max() < 1e-5
    assert run(Image.fromarray(PIXELS), tiles=32).size == (140, 90)


class Two(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x, -x


def test_what_tiles_refuse(upscaler):
    norm = nn.InstanceNorm2d(3)
    cases = [
        (upscaler, 8, None, r"net: got tiles of 8 px, expected at least 11: they overlap by 5 px to each side"),
        (upscaler, 0, None, r"net: got tiles=0, expected a side in pixels, 'auto', or None for whole images"),
        (upscaler, 32, -1, r"net: got overlap=-1, expected pixels, or None"),
        (file_of(norm, (None, 3, None, None))[0], 32, None, r"got tiles of 32 px for a network whose pixels depend on"),
        (
            file_of(norm, (None, 3, None, None), tiles=None)[0],
            32,
            None,
            r"instance norm.* the image whole .*--tiles none",
        ),
        (
            file_of(Two(), (None, 3, None, None), outputs=["a", "b"])[0],
            32,
            None,
            r"got tiles for a network of outputs a, b, .* run it whole \(tiles=None, --tiles none",
        ),
        (
            file_of(nn.Identity(), (1, 3, 24, 24), tiles={"overlap_px": 2, "multiple_px": 1, "scale": [1, 1]})[0],
            32,
            None,
            r"got tiles of 32 px, expected those of the file, 24x24; take tiles='auto', or export",
        ),
    ]
    for run, tiles, overlap, message in cases:
        with pytest.raises(ConfigError, match=message):
            run(IMAGE, tiles=tiles, overlap=overlap)
    with pytest.raises(InputSizeError, match=r"got a file of 24x24 whose network looks 12 px .* at least 25 px"):
        file_of(norm, (1, 3, 24, 24), tiles={"overlap_px": 12, "multiple_px": 1, "scale": [1, 1]})[0](IMAGE)
    with pytest.raises(InputSizeError, match=r"the size that the file was exported for"):
        file_of(norm, (1, 3, 24, 24), tiles=None)[0](IMAGE)
    with pytest.raises(InputSizeError, match=r"got an output of \[1, 3, 24, 24\] for a tile of 24x24, expected 48x48"):
        file_of(nn.Identity(), (1, 3, 24, 24), tiles={"overlap_px": 2, "multiple_px": 1, "scale": [2, 1]})[0](IMAGE)
    with pytest.raises(CheckpointError, match=r"got the metadata tiles 'odd', expected overlap_px, multiple_px and"):
        file_of(norm, (None, 3, None, None), tiles="odd")[0](IMAGE, tiles=32)


def test_networks_that_are_not_local_run_whole_by_default():
    run, seen = file_of(nn.InstanceNorm2d(3), (None, 3, None, None), tiles=None)
    assert run(torch.zeros(1, 3, 600, 600)).shape == (1, 3, 600, 600)
    assert seen == [(1, 3, 600, 600)]


def test_parts_of_large_images_are_cut_from_everywhere(monkeypatch):
    monkeypatch.setattr("gancompress.deploy.tiles.choice._MEMORY_BYTES", 2 * 100 * 35**2)
    image = torch.arange(40 * 30).view(1, 1, 40, 30)
    parts = parts_of([(image,)] * 5 + [(image[..., :9],)], Locality(2, 4, Fraction(1), 100))
    assert [tuple(part.shape[2:]) for (part,) in parts] == [(16, 16)] * 5 + [(16, 9)]
    assert [divmod(int(part[0, 0, 0, 0]), 30) for (part,) in parts] == [
        (12, 4),
        (0, 0),
        (0, 12),
        (24, 0),
        (24, 12),
        (12, 0),
    ]
