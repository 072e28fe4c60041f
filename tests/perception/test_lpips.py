from __future__ import annotations

from pathlib import Path

import pytest
import torch

from gancompress.errors import CheckpointError, ConfigError
from gancompress.perception import LpipsDistance, load_lpips
from gancompress.perception.load import TRUNKS
from gancompress.perception.lpips import LPIPS_TRUNKS
from gancompress.perception.trunk import FeatureTrunk

CHANNELS = {
    "alex": (64, 192, 384, 256, 256),
    "vgg": (64, 128, 256, 512, 512),
    "squeeze": (64, 128, 256, 384, 384, 512, 512),
}


def published_heads(name: str) -> dict[str, torch.Tensor]:
    return {
        f"lin{number}.model.1.weight": torch.rand(1, channels, 1, 1) for number, channels in enumerate(CHANNELS[name])
    }


@pytest.mark.parametrize("name", ["alex", "squeeze"])
def test_equals_the_plain_formula(name, tmp_path):
    heads = published_heads(name)
    trunk_name, taps = LPIPS_TRUNKS[name]
    trunk = FeatureTrunk(*TRUNKS[trunk_name](), taps=taps).eval()
    torch.save(heads, tmp_path / "heads.pth")
    torch.save(trunk.state_dict(), tmp_path / "trunk.pth")
    distance = load_lpips(name, tmp_path / "trunk.pth", tmp_path / "heads.pth")
    x, y = torch.rand(2, 2, 3, 64, 64) * 2 - 1
    expected = torch.zeros(2)
    # The constants of the published code, for images in [-1, 1].
    shift = torch.tensor([-0.030, -0.088, -0.188]).view(3, 1, 1)
    scale = torch.tensor([0.458, 0.448, 0.450]).view(3, 1, 1)
    plain = FeatureTrunk(trunk.features, {tap: TRUNKS[trunk_name]()[1][tap] for tap in taps}, normalize=False).eval()
    with torch.no_grad():
        maps = zip(plain((x - shift) / scale), plain((y - shift) / scale), heads.values(), strict=True)
        for a, b, weight in maps:
            a = a / (a.pow(2).sum(1, keepdim=True).sqrt() + 1e-10)
            b = b / (b.pow(2).sum(1, keepdim=True).sqrt() + 1e-10)
            expected += torch.nn.functional.conv2d((a - b) ** 2, weight).mean((1, 2, 3))
        assert torch.allclose(distance(x, y), expected, rtol=1e-4)
        assert distance(x, x).equal(torch.zeros(2))


@pytest.mark.parametrize("name", CHANNELS)
def test_published_heads_fit(name):
    torchmetrics = pytest.importorskip("torchmetrics", reason="carries the published channel weights")
    heads = Path(torchmetrics.__file__).parent / "functional" / "image" / "lpips_models" / f"{name}.pth"
    state = torch.load(heads, map_location="cpu", weights_only=True)
    assert {key: tuple(tensor.shape) for key, tensor in state.items()} == {
        key: tuple(tensor.shape) for key, tensor in published_heads(name).items()
    }


def test_gradient_is_finite_where_all_features_are_zero():
    distance = LpipsDistance(torch.nn.Sequential(torch.nn.Conv2d(3, 4, 1, bias=False), torch.nn.ReLU(), Listed()))
    images = torch.full((1, 3, 4, 4), -1.0, requires_grad=True)
    distance(images, torch.rand(1, 3, 4, 4)).sum().backward()
    assert images.grad is not None
    assert images.grad.isfinite().all()


class Listed(torch.nn.Module):
    def forward(self, x):
        return [x]


def test_without_weights_it_is_the_uncalibrated_baseline():
    distance = LpipsDistance(Listed())
    x, y = torch.rand(2, 2, 3, 4, 4) * 2 - 1
    unit = torch.nn.functional.normalize
    expected = (unit((x + 1) / 2, dim=1) - unit((y + 1) / 2, dim=1)).pow(2).sum(1).mean((1, 2))
    assert torch.allclose(distance(x, y), expected, rtol=1e-4)


def test_errors(tmp_path):
    with pytest.raises(ConfigError, match=r"lpips: got 'alexa'.*did you mean 'alex'\?"):
        load_lpips("alexa")
    torch.save(published_heads("alex"), tmp_path / "heads.pth")
    with pytest.raises(CheckpointError, match=r"found no lin5\.model\.1\.weight, expected the 7 channel weights"):
        load_lpips("squeeze", heads=tmp_path / "heads.pth")
    with pytest.raises(ConfigError, match="got 1 feature maps for 2 layers"):
        LpipsDistance(Listed(), [torch.ones(3), torch.ones(3)])(torch.rand(1, 3, 4, 4), torch.rand(1, 3, 4, 4))
