"""Masks of every kind: right at batch size 1 and at any resolution, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from gancompress.errors import CheckpointError, ConfigError, DataError
from gancompress.options import OptionsError
from gancompress.perception.content_masks import FACE_CONTENT, MASKS

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


class Colours(nn.Module):
    """Three classes: the colour that is strongest. The logits have half the size of the image, as of a real network."""

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        return torch.nn.functional.avg_pool2d(images, 2), images


class Faces(nn.Module):
    """19 classes; class 16 (cloth) on the left, 1 (skin) on the right, and 0 above."""

    def forward(self, images: Tensor) -> Tensor:
        logits = torch.zeros(images.shape[0], 19, 8, 8)
        logits[:, 16, 2:, :4] = 1
        logits[:, 1, 2:, 4:] = 1
        logits[:, 0, :2] = 1
        return logits + 0 * images.mean()


@pytest.fixture
def colours(tmp_path) -> str:
    torch.jit.script(Colours()).save(tmp_path / "colours.pt")
    return str(tmp_path / "colours.pt")


def halves(batch_size: int, size: int) -> Tensor:
    """Red above, green on the left below, blue on the right below."""
    images = -torch.ones(batch_size, 3, size, size)
    images[:, 0, : size // 2] = 1
    images[:, 1, size // 2 :, : size // 2] = 1
    images[:, 2, size // 2 :, size // 2 :] = 1
    return images


@pytest.mark.parametrize("batch_size", [1, 2, 5])
@pytest.mark.parametrize("size", [16, 64])
def test_a_network(colours, batch_size, size):
    mask = MASKS.parse({"kind": "network", "path": colours, "classes": [0, 2]}).load()
    found = mask(halves(batch_size, size), ())
    assert found.shape == (batch_size, 1, size, size)
    assert found.unique().tolist() == [0, 1]
    wrong = (found[:, 0] != (halves(batch_size, size)[:, 1] < 0).float()).float().mean()
    assert wrong == 0
    assert found.mean().item() == pytest.approx(0.75)


def test_one_image_alone_has_the_mask_that_it_has_among_others(colours):
    """Where a batch of one loses its axis, a row of the mask is taken for the mask."""
    mask = MASKS.parse({"kind": "network", "path": colours, "classes": [0], "input_px": 16}).load()
    images = torch.rand(4, 3, 32, 32) * 2 - 1
    together = mask(images, ())
    alone = torch.cat([mask(image[None], ()) for image in images])
    assert torch.equal(alone, together)
    assert 0.1 < alone.mean() < 0.6


def test_face_parsing(tmp_path):
    torch.jit.script(Faces()).save(tmp_path / "faces.pt")
    options = MASKS.parse({"kind": "bisenet", "path": str(tmp_path / "faces.pt")})
    assert (*range(1, 16), 17, 18) == FACE_CONTENT
    assert (options.input_px, options.num_classes) == (512, 19)
    found = options.load()(torch.zeros(1, 3, 64, 64), ())
    assert found[0, 0, 20:, 36:].all()
    assert not found[0, 0, :14].any()
    assert not found[0, 0, :, :28].any()
    assert options.model_dump()["kind"] == "bisenet"


def test_normalisation_before_the_network(tmp_path):
    class Bright(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return torch.stack([images[:, 0] - 1, 1 - images[:, 0]], 1)

    torch.jit.script(Bright()).save(tmp_path / "bright.pt")
    options = {"kind": "network", "path": str(tmp_path / "bright.pt"), "classes": [0], "std": [0.5, 1, 1]}
    images = torch.full((1, 3, 4, 4), 0.2)  # red is 0.6 in [0, 1], and 1.2 after it is divided
    assert MASKS.parse(options).load()(images, ()).all()
    assert not MASKS.parse({**options, "mean": [0.2, 0, 0]}).load()(images, ()).any()


def test_ellipse_and_none():
    ellipse = MASKS.parse({"kind": "ellipse", "height": 0.8, "width": 0.5}).load()(torch.zeros(1, 3, 100, 200), ())
    assert ellipse.shape == (1, 1, 100, 200)
    assert ellipse.mean().item() == pytest.approx(torch.pi / 4 * 0.8 * 0.5, rel=0.01)
    assert torch.equal(ellipse, ellipse.flip(2).flip(3))
    assert ellipse[0, 0, 50].sum() == 100
    assert MASKS.parse("none").load()(torch.zeros(2, 3, 4, 4), ()).sum() == 32


def test_a_folder(tmp_path):
    (tmp_path / "a").mkdir()
    pixels = np.zeros((6, 8), np.uint8)
    pixels[2:4] = 255
    Image.fromarray(pixels).save(tmp_path / "a" / "0001.png")
    mask = MASKS.parse({"kind": "folder", "root": str(tmp_path)}).load()
    assert torch.equal(mask(torch.zeros(1, 3, 6, 8), ["a/0001"])[0, 0] * 255, torch.from_numpy(pixels).float())
    with pytest.raises(DataError, match=r"0001.png is 6x8 \(height x width\), expected 8x8 as its image; resize it"):
        mask(torch.zeros(1, 3, 8, 8), ["a/0001"])
    with pytest.raises(DataError, match=r"found no .*0002.png, expected a mask for every image"):
        mask(torch.zeros(1, 3, 6, 8), ["a/0002"])
    with pytest.raises(DataError, match=r"got images without names, .* images from noise have none"):
        mask(torch.zeros(1, 3, 6, 8), [])
    (tmp_path / "a" / "0003.png").write_text("no image")
    with pytest.raises(DataError, match=r"cannot read .*0003.png"):
        mask(torch.zeros(1, 3, 6, 8), ["a/0003"])
    with pytest.raises(DataError, match="found no folder"):
        MASKS.parse({"kind": "folder", "root": str(tmp_path / "b")}).load()


def reds(images: Tensor) -> Tensor:
    return (images[:, :1] > 0).float()


def misshapen(images: Tensor) -> Tensor:
    return images[:, 0]


NUMBER = 3


def test_a_function():
    images = halves(1, 8)
    assert torch.equal(
        MASKS.parse({"kind": "function", "function": f"{__name__}:reds"}).load()(images, ()), reds(images)
    )
    with pytest.raises(ConfigError, match=r"returned \(1, 8, 8\), expected masks of shape \(1, 1, 8, 8\)"):
        MASKS.parse({"kind": "function", "function": f"{__name__}:misshapen"}).load()(images, ())


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("reds", "expected 'package.module:name'"),
        ("no_such_package:reds", "found no module 'no_such_package', expected an importable one"),
        (f"{__name__}:blues", "has no 'blues'"),
        (f"{__name__}:NUMBER", "NUMBER: got a int, expected a function"),
    ],
)
def test_functions_that_are_none(function, message):
    with pytest.raises(ConfigError, match=message):
        MASKS.parse({"kind": "function", "function": function}).load()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classes": [0, 3]}, "tells 3 classes apart, expected more than 3 for the content classes 0, 3; give the"),
        ({"classes": [0], "num_classes": 19}, "tells 3 classes apart, expected 19 for the content classes 0"),
    ],
)
def test_a_network_with_other_classes(colours, options, message):
    with pytest.raises(ConfigError, match=message):
        MASKS.parse({"kind": "network", "path": colours, **options}).load()(halves(1, 8), ())


def test_a_network_that_returns_no_maps(tmp_path):
    class Classifier(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return images.mean((2, 3))

    torch.jit.script(Classifier()).save(tmp_path / "net.pt")
    mask = MASKS.parse({"kind": "network", "path": str(tmp_path / "net.pt"), "classes": [0]}).load()
    with pytest.raises(ConfigError, match=r"returned shape \(2, 3\) for 2 images, expected logits"):
        mask(halves(2, 8), ())


def test_options_that_do_not_fit():
    with pytest.raises(OptionsError, match="got 'elipse', expected a kind of mask; did you mean 'ellipse'"):
        MASKS.parse("elipse")
    with pytest.raises(OptionsError, match="classes: got nothing, expected a value"):
        MASKS.parse({"kind": "network", "path": "net.pt"})
    with pytest.raises(CheckpointError, match="found no such file"):
        MASKS.parse({"kind": "network", "path": "no.pt", "classes": [1]}).load()
