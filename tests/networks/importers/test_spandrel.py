"""Files of the restoration world, recognised by spandrel."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from gancompress.channels import trace
from gancompress.errors import CheckpointError, InputSizeError
from gancompress.networks.cut import cut
from gancompress.networks.generator import Generator
from gancompress.networks.importers import load_generator


@pytest.fixture(scope="module")
def spandrel() -> Any:
    """spandrel, with a stand-in for the three names that two of its files take from torchvision."""
    pytest.importorskip("einops")
    try:
        import torchvision  # noqa: F401
    except ImportError:
        functional = ModuleType("torchvision.transforms.functional")
        vars(functional).update(dict.fromkeys(("InterpolationMode", "rotate", "normalize")))
        for name in ("torchvision", "torchvision.transforms"):
            sys.modules[name] = ModuleType(name)
        sys.modules["torchvision.transforms.functional"] = functional
    return pytest.importorskip("spandrel")


CASES: dict[str, tuple[str, dict[str, Any], int]] = {
    "scale and channels": ("SPAN.SPAN", {"num_in_ch": 3, "num_out_ch": 3, "feature_channels": 8, "upscale": 2}, 1),
    "windows": (
        "SwinIR.SwinIR",
        {"img_size": 8, "embed_dim": 8, "depths": [2], "num_heads": [2], "window_size": 4, "upscale": 2}
        | {"mlp_ratio": 2, "upsampler": "pixelshuffledirect"},
        1,
    ),
    "range of its own": ("MixDehazeNet.MixDehazeNet", {"embed_dims": [8, 16, 32, 16, 8], "depths": [1] * 5}, 1),
}


def network_of(name: str, config: dict[str, Any]) -> torch.nn.Module:
    package, _, kind = name.partition(".")
    module = __import__(f"spandrel.architectures.{package}", fromlist=[kind])
    return getattr(module, kind)(**config).eval()


@pytest.mark.parametrize("case", CASES)
@pytest.mark.filterwarnings("ignore:torch.meshgrid")
@torch.no_grad()
def test_a_file_is_what_spandrel_makes_of_it(case: str, spandrel: Any, tmp_path: Path) -> None:
    name, config, multiple = CASES[case]
    network = network_of(name, config)
    torch.save({"params_ema": network.state_dict()}, tmp_path / "net.pth")
    lines: list[str] = []
    generator = load_generator(tmp_path / "net.pth", say=lines.append)
    rule = generator.architecture.input_rule
    assert rule is not None
    assert (rule.channels, rule.scale, rule.multiple) == (3, config.get("upscale", 1), multiple)
    assert any("by spandrel" in line for line in lines)
    image = torch.rand(1, 3, 40, 40)
    expected = spandrel.ModelLoader().load_from_file(tmp_path / "net.pth").eval()(image)
    again = saved_again(generator, tmp_path)
    assert again.architecture.input_rule == rule
    for each in (generator, again):
        made = (each.build()(image * 2 - 1) + 1) / 2
        torch.testing.assert_close(made.clamp(0, 1), expected, rtol=0, atol=1e-5)


def saved_again(generator: Generator, folder: Path) -> Generator:
    generator.save(folder / "saved")
    return load_generator(folder / "saved")


def test_a_narrow_file_opens_again(spandrel: Any, tmp_path: Path) -> None:
    name, config, _ = CASES["range of its own"]
    torch.save(network_of(name, config).state_dict(), tmp_path / "net.pth")
    generator = load_generator(tmp_path / "net.pth")
    inputs = generator.architecture.example_inputs((40, 40))
    graph = trace(generator.build(), inputs, multiple=1, minimum=1)
    narrow = saved_again(cut(generator, graph, graph.uniform_plan(0.5)), tmp_path)
    assert narrow.num_parameters < generator.num_parameters
    assert narrow.build()(*inputs).shape == (1, 3, 40, 40)
    with pytest.raises(InputSizeError, match="expected both at least 40 px; resize it, for example to 40x40"):
        narrow.architecture.check_size((30, 30))


def test_own_families_come_first(spandrel: Any, tmp_path: Path) -> None:
    network = network_of("Compact.Compact", {"num_feat": 8, "num_conv": 2, "upscale": 2})
    torch.save(network.state_dict(), tmp_path / "net.pth")
    assert load_generator(tmp_path / "net.pth").family == "srvggnet_compact"


def test_networks_that_take_more_than_the_image(spandrel: Any, tmp_path: Path) -> None:
    network = network_of("DRUNet.DRUNet", {"in_nc": 4, "out_nc": 3, "nc": [4, 8, 8, 8], "nb": 2})
    torch.save(network.state_dict(), tmp_path / "net.pth")
    with pytest.raises(CheckpointError, match="got DRUNet, which spandrel gives more than the image"):
        load_generator(tmp_path / "net.pth")


def test_tensors_that_spandrel_does_not_know(spandrel: Any, tmp_path: Path) -> None:
    torch.save({"a.weight": torch.zeros(3, 3)}, tmp_path / "net.pth")
    with pytest.raises(CheckpointError, match=r"got tensors of no known family \(a.weight\)"):
        load_generator(tmp_path / "net.pth")


def test_without_spandrel_the_message_names_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "spandrel", None)
    torch.save({"a.weight": torch.zeros(3, 3)}, tmp_path / "net.pth")
    with pytest.raises(CheckpointError, match=r"pip install 'gancompress\[spandrel\]' \(missing: spandrel\)"):
        load_generator(tmp_path / "net.pth")
