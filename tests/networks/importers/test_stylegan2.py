"""Files of StyleGAN2 against the direct form of its formulas, in which the weight is modulated before it convolves."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch
from torch import Tensor

from gancompress.errors import CheckpointError
from gancompress.networks.importers import load_generator
from gancompress.networks.registry import FAMILIES

from .foreign_stylegan2 import State, discriminator_state, generate, generator_state, judge

SHAPE = [12, 12, 12, 12, 12, 6, 6, 3]  # 32 pixels
PRUNED = [5, 7, 6, 4, 8, 3, 5, 2]


def draw(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def double(state: State) -> State:
    return {name: tensor.double() for name, tensor in state.items()}


def saved(folder: Path, **networks: State) -> Path:
    torch.save({**networks, "g_optim": {"state": {}}, "latent_avg": torch.zeros(6)}, folder / "550000.pt")
    return folder / "550000.pt"


@pytest.mark.parametrize("shape", [SHAPE, PRUNED, SHAPE[:4]], ids=["full", "pruned", "8 px"])
@torch.no_grad()
def test_identical_output(shape, tmp_path):
    state = generator_state(shape, 6, draw())
    value = load_generator(saved(tmp_path, g=generator_state(shape, 6, draw(1)), g_ema=state))
    assert value.family == "stylegan2"
    assert list(FAMILIES.find("stylegan2").parse(value.config).group_widths().values()) == shape
    assert (value.config["latent_size"], value.config["resolution"]) == (6, 2 ** (len(shape) // 2 + 1))
    network = value.build().double()
    z = torch.randn(3, 6, generator=draw(2), dtype=torch.float64)
    # Scales are stored in single precision.
    torch.testing.assert_close(network(z), generate(double(state), z), rtol=1e-5, atol=1e-5)
    noise = [
        torch.randn(3, 1, 4 * 2 ** ((i + 1) // 2), 4 * 2 ** ((i + 1) // 2)).double() for i in range(len(shape) - 1)
    ]
    torch.testing.assert_close(network(z, noise), generate(double(state), z, noise), rtol=1e-5, atol=1e-5)
    z = z.float()
    torch.testing.assert_close(value.build()(z), generate(state, z), rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_a_file_without_averaged_weights(tmp_path):
    state = generator_state(PRUNED, 6, draw())
    value = load_generator(saved(tmp_path, g=state, d=discriminator_state([4, 4, 4, 4], draw())))
    z = torch.randn(2, 6)
    torch.testing.assert_close(value.build()(z), generate(state, z), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("size", "entries"), [(256, 135), (1024, 171)], ids=["256 px", "1024 px"])
def test_published_files(size, entries, tmp_path):
    """Their number of tensors, and that all of them have a place; narrow, for the sake of the tests' time."""
    levels = size.bit_length() - 3
    shape = [4] * (2 * levels + 2)
    state = generator_state(shape, 4, draw())
    assert len(state) == entries
    value = load_generator(saved(tmp_path, g_ema=state))
    assert value.config["resolution"] == size
    assert sum(value.state[name].numel() for name, _ in value.build().named_parameters()) == sum(
        tensor.numel() for name, tensor in state.items() if "noises." not in name and "kernel" not in name
    )


@pytest.mark.parametrize(("size", "parameters"), [(256, 28_864_129), (1024, 29_012_513)])
def test_published_discriminators(size, parameters):
    widths = [min(512, 2**15 // px) for px in (size >> i for i in range(size.bit_length() - 2))]
    state = discriminator_state(widths, draw())
    assert sum(t.numel() for name, t in state.items() if "kernel" not in name) == parameters


@torch.no_grad()
def test_the_discriminator_of_the_same_file(tmp_path):
    state = discriminator_state([3, 5, 7, 7], draw())
    path = saved(tmp_path, g_ema=generator_state(SHAPE, 6, draw()), d=state)
    image = torch.randn(4, 3, 32, 32)
    for value in (load_generator(path, role="discriminator"), load_generator(path, "stylegan2_discriminator")):
        assert value.family == "stylegan2_discriminator"
        torch.testing.assert_close(value.build()(image), judge(state, image), rtol=1e-4, atol=1e-4)
    torch.save(state, tmp_path / "alone.pt")
    assert load_generator(tmp_path / "alone.pt").family == "stylegan2_discriminator"


@torch.no_grad()
def test_scales_of_the_paper_follow_the_widths_of_the_file(tmp_path):
    """An imported file means the same in both conventions: it is only what is cut off later that they differ in."""
    path = saved(tmp_path, g_ema=generator_state([4] * 8, 6, draw()))
    options = {"channel_max": 4, "resolution": 32, "latent_size": 6}
    z = torch.randn(2, 6)
    images: list[Tensor] = [
        load_generator(path, "stylegan2", {**options, "narrow_scale": how}).build()(z) for how in ("exact", "paper")
    ]
    torch.testing.assert_close(*images)


@pytest.mark.parametrize("module", ["torch_utils.persistence", "dnnlib.tflib.network"])
@pytest.mark.parametrize("protocol", [2, 4])
def test_a_pickle_of_nvidia(module, protocol, tmp_path):
    path = tmp_path / "ffhq.pkl"
    path.write_bytes(pickle.dumps({"G_ema": [module, "class"]}, protocol)[:-1] + b"cmodule\nNetwork\n.")
    with pytest.raises(CheckpointError, match=r"got a pickle of NVIDIA's .*; convert it once with convert_weight.py"):
        load_generator(path)


def test_a_tensor_that_is_missing(tmp_path):
    state = generator_state(SHAPE, 6, draw())
    del state["convs.2.activate.bias"]
    with pytest.raises(CheckpointError, match=r"nearest is stylegan2, .* 1 missing \(convs.2.activate.bias\)"):
        load_generator(saved(tmp_path, g_ema=state))
