"""Narrow networks as files with the keys, names and number types of their original."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

import gancompress as gc
from gancompress.errors import CheckpointError, ConfigError
from gancompress.networks.generator import Generator
from gancompress.networks.importers import load_generator
from gancompress.networks.registry import build
from tests.networks.importers.foreign import SequentialResnet
from tests.networks.test_loadable import Own

CONFIG = {"nf": 16, "growth": 32, "num_blocks": 1}
X = torch.rand(1, 3, 8, 8)


def halved(path: Path) -> tuple[nn.Module, Path]:
    """A narrow upscaler, and the file of the wide one: half precision under a key, beside another network."""
    torch.manual_seed(0)
    wide = build("rrdbnet", CONFIG).eval()
    state = {name: tensor.half() for name, tensor in wide.state_dict().items()}
    torch.save({"params_ema": state, "params": {"other": torch.zeros(1)}}, path)
    return gc.prune(wide, X, keep=0.5, loadable=True), path


def test_a_file_has_the_layout_of_its_original(tmp_path):
    narrow, original = halved(tmp_path / "net.pth")
    assert gc.save_like(narrow, original, tmp_path / "small.pth") == ["opens as rrdbnet with nf 8"]
    written = torch.load(tmp_path / "small.pth")
    assert list(written) == ["params_ema"]
    assert list(written["params_ema"]) == list(narrow.state_dict())
    assert {tensor.dtype for tensor in written["params_ema"].values()} == {torch.float16}
    for name, tensor in narrow.state_dict().items():
        assert torch.equal(written["params_ema"][name], tensor.half())


def test_blocks_left_out_are_not_in_the_file(tmp_path):
    wide = build("rrdbnet", {**CONFIG, "num_blocks": 2}).eval()
    torch.save(wide.state_dict(), tmp_path / "net.pth")
    narrow = gc.prune(wide, X, keep=0.5, left_out=("body.0",), loadable=True)
    assert gc.save_like(narrow, tmp_path / "net.pth", tmp_path / "small.pth") == ["opens as rrdbnet with nf 8"]
    assert torch.equal(load_generator(tmp_path / "small.pth").build()(X), narrow(X))


def test_prefixes_of_names_and_safetensors_are_kept(tmp_path):
    wide = build("srvggnet_compact", {"nf": 16, "num_conv": 2}).eval()
    save_file({f"generator.{name}": tensor for name, tensor in wide.state_dict().items()}, tmp_path / "net.safetensors")
    narrow = gc.prune(wide, X, keep=0.5, loadable=True)
    gc.save_like(narrow, tmp_path / "net.safetensors", tmp_path / "small.safetensors")
    assert list(load_file(tmp_path / "small.safetensors")) == sorted(f"generator.{n}" for n in narrow.state_dict())


def test_names_of_another_program_are_written_back(tmp_path):
    theirs = SequentialResnet((8, 16, 32, 16, 8), (32,) * 6)
    torch.save(theirs.state_dict(), tmp_path / "latest_net_G.pth")
    wide = load_generator(tmp_path / "latest_net_G.pth").build()
    x = torch.rand(1, 3, 16, 16)
    narrow = gc.prune(wide, x, keep=0.5, multiple=2, loadable=True)
    gc.save_like(narrow, tmp_path / "latest_net_G.pth", tmp_path / "small.pth")
    small = SequentialResnet((4, 8, 16, 8, 4), (16,) * 6)
    small.load_state_dict(torch.load(tmp_path / "small.pth"))
    torch.testing.assert_close(small.eval()(x), narrow(x), rtol=0, atol=1e-5)


def test_classes_of_ones_own_need_their_arguments(tmp_path):
    own = Own(num_feat=16).eval()
    torch.save({"state_dict": own.state_dict()}, tmp_path / "own.pt")
    with pytest.raises(
        ConfigError, match="got a Own whose constructor arguments are not known, expected them, such as"
    ):
        gc.prune(own, X, keep=0.5, loadable=True)
    arguments = {"num_feat": 16}
    narrow = gc.prune(own, X, keep=0.5, loadable=arguments)
    lines = gc.save_like(narrow, tmp_path / "own.pt", tmp_path / "small.pt", arguments)
    assert lines == ["opens as tests.networks.test_loadable:Own with num_feat 8, num_out 3, depth 2"]
    smaller = Own(num_feat=8)
    smaller.load_state_dict(torch.load(tmp_path / "small.pt")["state_dict"])


def test_the_wrong_original_is_refused_and_nothing_is_left(tmp_path):
    narrow, _ = halved(tmp_path / "net.pth")
    torch.save(Own().state_dict(), tmp_path / "other.pth")
    with pytest.raises(
        CheckpointError, match="whose tensors are not those of this rrdbnet; expected the file that the"
    ):
        gc.save_like(narrow, tmp_path / "other.pth", tmp_path / "small.pth")
    assert not (tmp_path / "small.pth").exists()


@pytest.mark.parametrize("opens", [True, False])
def test_spandrel_opens_the_file_before_it_gets_its_name(tmp_path, monkeypatch, opens):
    narrow, original = halved(tmp_path / "net.pth")

    def load(path):
        if path != original and not opens:
            raise ValueError("size mismatch\nfor many lines")
        return SimpleNamespace(architecture=SimpleNamespace(name="ESRGAN"), scale=4, tags=["8nf"])

    loader = SimpleNamespace(load_from_file=load)
    monkeypatch.setitem(sys.modules, "spandrel", SimpleNamespace(ModelLoader=lambda: loader))
    if opens:
        assert gc.save_like(narrow, original, tmp_path / "small.pth")[1:] == ["opens in spandrel as ESRGAN, 4x, 8nf"]
        return
    with pytest.raises(ConfigError, match=r"opens the original as ESRGAN, but not this file: size mismatch$"):
        gc.save_like(narrow, original, tmp_path / "small.pth")
    assert not (tmp_path / "small.pth").exists()


def test_uneven_widths_are_refused(tmp_path):
    _, original = halved(tmp_path / "net.pth")
    wide = Generator.from_module(build("rrdbnet", CONFIG), "rrdbnet", CONFIG).build()
    uneven = gc.prune(wide, X, widths={"conv_hr": 8})
    with pytest.raises(ConfigError, match="rrdbnet: no argument of its constructor gives these widths"):
        gc.save_like(uneven, original, tmp_path / "small.pth")
