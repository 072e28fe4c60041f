from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from gancompress.errors import CheckpointError, ConfigError
from gancompress.networks.config_strings import string_from_widths
from gancompress.networks.generator import Generator
from gancompress.networks.importers import load_generator
from gancompress.networks.registry import FAMILIES, build

from ..strangers import Stranger, Wrapped
from .foreign import (
    NestedUnet,
    Norm,
    NumberedCartoonGan,
    NumberedSngan,
    NumberedSnganDiscriminator,
    SequentialPatchGan,
    SequentialPixelGan,
    SequentialResnet,
    affine_instance_norm,
    old_instance_norm,
    plain_instance_norm,
)

Fill = Callable[[nn.Module], nn.Module]
NINE = (7, 8, 9, 7, 8, 9, 4, 5, 6)


def saved(path: Path, content: object) -> Path:
    torch.save(content, path)
    return path


@torch.no_grad()
def outputs(network: nn.Module, other: nn.Module, side: int) -> tuple[Tensor, Tensor]:
    """What both make of the same images, in float64, so that only another computation makes a difference."""
    images = torch.arange(2 * 3 * side * side, dtype=torch.float64).sin().view(2, 3, side, side)
    return network.eval().double()(images), other.eval().double()(images)


GAN_SLIMMING = {"norm": affine_instance_norm, "stream_norm": plain_instance_norm}
RESNETS: dict[str, tuple[dict[str, Any], str, dict[str, Any]]] = {
    "cyclegan": ({}, "resnet_6blocks", {}),
    "with dropout": ({"dropout": True}, "resnet_6blocks", {}),
    "nine blocks": ({"middles": NINE}, "resnet_9blocks", {}),
    "two blocks": ({"middles": (8, 8)}, "resnet", {"num_blocks": 2}),
    "stale statistics": ({"norm": old_instance_norm}, "resnet_6blocks", {}),
    "batch norm": ({"norm": nn.BatchNorm2d, "dropout": True}, "resnet_6blocks", {"norm": "batch"}),
    "all affine": ({"norm": affine_instance_norm}, "resnet_6blocks", {"affine_norms": "all"}),
    "slimming": ({"middles": NINE, **GAN_SLIMMING}, "resnet_9blocks", {"affine_norms": "prunable"}),
    "mobile": ({"middles": NINE, "separable": True, "dropout": True}, "mobile_resnet_9blocks", {}),
    "mobile without dropout": ({"separable": True}, "mobile_resnet_6blocks", {}),
}


@pytest.mark.parametrize("name", RESNETS)
def test_sequential_resnet(name: str, tmp_path: Path, distinct_weights: Fill) -> None:
    arguments, family, options = RESNETS[name]
    foreign = distinct_weights(SequentialResnet(**arguments))
    generator = load_generator(saved(tmp_path / "net.pth", foreign.state_dict()))
    assert generator.family == family
    assert options.items() <= generator.config.items()
    torch.testing.assert_close(*outputs(generator.build(), foreign, 32), rtol=0, atol=1e-9)


def test_widths_of_a_sub_network(tmp_path: Path) -> None:
    foreign = SequentialResnet((5, 6, 8, 10, 11), NINE, separable=True, dropout=True)
    generator = load_generator(saved(tmp_path / "net.pth", foreign.state_dict()))
    config = FAMILIES.find(generator.family).parse(generator.config)
    assert list(config.group_widths().values()) == [5, 6, 8, *NINE, 10, 11]
    assert generator.config["ngf"] == 2


def test_dense_teacher_has_a_clean_config(tmp_path: Path) -> None:
    foreign = SequentialResnet((4, 8, 16, 8, 4), (16,) * 6)
    config = load_generator(saved(tmp_path / "net.pth", foreign.state_dict())).config
    assert config == FAMILIES.find("resnet_6blocks").parse({"ngf": 4}).model_dump()


@pytest.mark.parametrize(
    "norm", [nn.BatchNorm2d, plain_instance_norm, old_instance_norm], ids=["batch", "instance", "old"]
)
@pytest.mark.parametrize(("num_downs", "family"), [(8, "unet_256"), (7, "unet_128"), (6, "unet"), (3, "unet")])
def test_nested_unet(norm: Norm, num_downs: int, family: str, tmp_path: Path, distinct_weights: Fill) -> None:
    foreign = NestedUnet(num_downs, norm, dropout=num_downs == 7)
    distinct_weights(foreign)
    generator = load_generator(saved(tmp_path / "net.pth", foreign.state_dict()))
    assert (generator.family, generator.config["num_downs"]) == (family, num_downs)
    assert (generator.config["ngf"], generator.config["widths"]) == (3, {})
    torch.testing.assert_close(*outputs(generator.build(), foreign, 2**num_downs), rtol=0, atol=1e-9)


def test_numbered_cartoongan(tmp_path: Path, distinct_weights: Fill) -> None:
    foreign = distinct_weights(NumberedCartoonGan())
    generator = load_generator(saved(tmp_path / "net.pt", foreign.state_dict()))
    assert (generator.family, generator.config["ngf"], generator.config["widths"]) == ("cartoongan", 4, {})
    ours = generator.build().double()
    rgb = torch.arange(2 * 3 * 32 * 32, dtype=torch.float64).sin().view(2, 3, 32, 32)
    torch.testing.assert_close(ours(rgb), foreign.double()(rgb.flip(1)).flip(1), rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ("widths", "bottom", "family", "ngf"),
    [((8, 8, 8, 8), 4, "sngan_32", 2), ((32, 16, 8, 4, 2), 4, "sngan_64", 2), ((16, 8, 4, 2), 6, "sngan", 2)],
)
def test_numbered_sngan(widths: tuple, bottom: int, family: str, ngf: int, tmp_path: Path, distinct_weights) -> None:
    foreign = distinct_weights(NumberedSngan(widths, bottom)).double()
    content = {"gen_state_dict": NumberedSngan().state_dict(), "avg_gen_state_dict": foreign.state_dict(), "epoch": 3}
    generator = load_generator(saved(tmp_path / "checkpoint.pth", content))
    assert (generator.family, generator.config["ngf"], generator.config["widths"]) == (family, ngf, {})
    assert generator.config["latent_size"] == 6
    latent = torch.arange(12, dtype=torch.float64).sin().view(2, 6)
    image = generator.build().double()(latent)
    assert image.shape == (2, 3, bottom * 2 ** (len(widths) - 1), bottom * 2 ** (len(widths) - 1))
    torch.testing.assert_close(image, foreign(latent), rtol=0, atol=1e-6)


def test_numbered_sngan_of_any_widths(tmp_path: Path) -> None:
    generator = load_generator(saved(tmp_path / "net.pth", NumberedSngan((5, 6, 7, 3)).state_dict()))
    widths = FAMILIES.find(generator.family).parse(generator.config).group_widths()
    streams = {"stem": 5, "blocks.0.conv2": 6, "blocks.1.conv2": 7, "blocks.2.conv2": 3}
    assert streams.items() <= widths.items()


DISCRIMINATORS: dict[str, tuple[type[nn.Module], dict[str, Any], str, dict[str, Any]]] = {
    "patchgan": (SequentialPatchGan, {}, "patchgan", {"n_layers": 3, "affine": False}),
    "one layer": (SequentialPatchGan, {"n_layers": 1}, "patchgan", {"n_layers": 1}),
    "five layers": (SequentialPatchGan, {"n_layers": 5}, "patchgan", {"n_layers": 5}),
    "batch norm": (SequentialPatchGan, {"norm": nn.BatchNorm2d}, "patchgan", {"norm": "batch", "affine": False}),
    "slimming": (
        SequentialPatchGan,
        {"norm": affine_instance_norm, "averaged": True},
        "patchgan",
        {"affine": True, "global_average": True},
    ),
    "pixelgan": (SequentialPixelGan, {}, "pixelgan", {"norm": "instance"}),
    "sngan": (NumberedSnganDiscriminator, {}, "sngan_discriminator", {"ndf": 8, "num_downs": 2, "num_plain": 2}),
    "pixelgan with batch norm": (SequentialPixelGan, {"norm": nn.BatchNorm2d}, "pixelgan", {"norm": "batch"}),
}


@pytest.mark.parametrize("name", DISCRIMINATORS)
def test_discriminators(name: str, tmp_path: Path, distinct_weights: Fill) -> None:
    network, arguments, family, options = DISCRIMINATORS[name]
    foreign = distinct_weights(network(**arguments))
    generator = load_generator(saved(tmp_path / "net.pth", foreign.state_dict()))
    assert generator.family == family
    assert options.items() <= generator.config.items()
    torch.testing.assert_close(*outputs(generator.build(), foreign, 128), rtol=1e-12, atol=1e-9)


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
@pytest.mark.parametrize("family", FAMILIES)
def test_own_names_without_a_config(family: str, suffix: str, tmp_path: Path) -> None:
    config: dict[str, Any] = {FAMILIES[family].config_type.base_width: 4}
    config["widths"] = {next(iter(FAMILIES[family].parse(config).default_widths())): 7}
    state = build(family, config).state_dict()
    path = tmp_path / f"model{suffix}"
    save_file(state, path) if suffix == ".safetensors" else torch.save(state, path)
    generator = load_generator(path)
    parsed = FAMILIES[generator.family].parse(generator.config)
    assert parsed.group_widths() == FAMILIES[family].parse(config).group_widths()
    assert all(torch.equal(generator.state[name], tensor) for name, tensor in state.items())


def test_directory(tmp_path: Path) -> None:
    Generator.from_module(build("pixelgan", {"ndf": 4}), "pixelgan", {"ndf": 4}).save(tmp_path)
    assert load_generator(tmp_path, "pixelgan").config["ndf"] == 4
    with pytest.raises(ConfigError, match=r"a directory that has its own .pixelgan., expected none; leave them out"):
        load_generator(tmp_path, "patchgan")


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: {"state_dict": state, "epoch": 3},
        lambda state: {"netG": state, "netD": {"weight": torch.zeros(1)}, "optimizer_G": {"state": {}}},
        lambda state: {"g_ema": state, "g": {"weight": torch.zeros(1)}, "G": {"weight": torch.zeros(1)}},
        lambda state: {"params": {"weight": torch.zeros(1)}, "params_ema": state},
        lambda state: {"model": {"generator": state}},
        lambda state: OrderedDict((f"module.{name}", tensor) for name, tensor in state.items()),
        lambda state: {f"module._orig_mod.{name}": tensor for name, tensor in state.items()},
        lambda state: {"state_dict": {f"_orig_mod.module.{name}": tensor for name, tensor in state.items()}},
        lambda state: {name: nn.Parameter(tensor) for name, tensor in state.items()},
        lambda state: {name: tensor.half() for name, tensor in state.items()},
        lambda state: {name: tensor.bfloat16() for name, tensor in state.items()},
        lambda state: {name: tensor.double() for name, tensor in state.items()},
    ],
)
def test_wrappers_prefixes_and_dtypes(wrap: Callable[[dict[str, Tensor]], object], tmp_path: Path) -> None:
    state = SequentialResnet().state_dict()
    generator = load_generator(saved(tmp_path / "net.pth", wrap(state)))
    assert generator.family == "resnet_6blocks"
    weight = generator.state["stem.conv.weight"]
    assert (weight.dtype, weight.requires_grad) == (torch.float32, False)
    torch.testing.assert_close(weight, state["model.1.weight"], rtol=1e-2, atol=1e-2)


def test_old_files(tmp_path: Path) -> None:
    """Files from before the zip format, and batch norms from before their counter."""
    state = {name: t for name, t in NestedUnet(3, nn.BatchNorm2d).state_dict().items() if "num_batches" not in name}
    torch.save(state, tmp_path / "net.pth", _use_new_zipfile_serialization=False)
    generator = load_generator(tmp_path / "net.pth")
    assert generator.state["up.0.norm.num_batches_tracked"] == 0
    generator.build()


def test_class_from_an_import_path(tmp_path: Path, distinct_weights: Fill) -> None:
    network = distinct_weights(Stranger(5))
    path = saved(tmp_path / "net.pt", {f"module.{name}": tensor for name, tensor in network.state_dict().items()})
    family = f"{Stranger.__module__}:Stranger"
    torch.testing.assert_close(*outputs(load_generator(path, family, {"width": 5}).build(), network, 8), rtol=0, atol=0)
    with pytest.raises(
        CheckpointError, match=r"do not fit .*:Stranger with this config: .* \(enter.weight: got 5x3x1x1"
    ):
        load_generator(path, family)


def test_class_with_a_part_called_module(tmp_path: Path) -> None:
    path = saved(tmp_path / "net.pt", Wrapped().state_dict())
    assert set(load_generator(path, f"{Wrapped.__module__}:Wrapped").state) == {"module.weight", "module.bias"}


class TestTeachers:
    def test_cartoongan(self, shared_data: Path) -> None:
        generator = load_generator(shared_data / "teachers" / "cartoongan_hayao.pt")
        assert generator.family == "cartoongan"
        assert generator.config == FAMILIES.find("cartoongan").parse({}).model_dump()
        self.check_output(generator)

    def test_compressed_cyclegan(self, shared_data: Path) -> None:
        generator = load_generator(shared_data / "teachers" / "cyclegan_horse2zebra_gancompression.pt")
        assert (generator.family, generator.num_parameters) == ("mobile_resnet_9blocks", 356_867)
        config = FAMILIES.find(generator.family).parse(generator.config)
        assert string_from_widths(config, {}, "slots8") == "16_16_32_16_32_32_16_16"
        self.check_output(generator)

    @staticmethod
    @torch.no_grad()
    def check_output(generator: Generator) -> None:
        output = generator.build()(*FAMILIES[generator.family].architecture(generator.config).example_inputs((32, 32)))
        assert output.isfinite().all()
        assert output.std() > 0.05


def test_whole_network_in_a_file(tmp_path: Path, distinct_weights: Fill) -> None:
    network = distinct_weights(Stranger())
    read = load_generator(saved(tmp_path / "net.pt", {"netG": network}), f"{Stranger.__module__}:Stranger")
    torch.testing.assert_close(*outputs(read.build(), network, 8), rtol=0, atol=0)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_torchscript(tmp_path: Path) -> None:
    torch.jit.trace(nn.Conv2d(3, 3, 1), torch.zeros(1, 3, 4, 4)).save(tmp_path / "net.pt")
    with pytest.raises(CheckpointError, match="got a TorchScript program, expected tensors"):
        load_generator(tmp_path / "net.pt")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("net.pth", b"", "got an empty file, expected weights"),
        ("net.safetensors", b"", "got an empty file, expected weights"),
        ("net.pth", b"not weights at all", "got something that is no file of torch.save .* copy it again"),
        ("net.safetensors", b"not weights at all", "got a damaged file .* expected safetensors; copy it again"),
        ("net.pth", [1, 2], "got a list, expected a state dict"),
        (
            "net.pth",
            {"epoch": 3, "loss": 1.0},
            r"a dictionary without tensors \(epoch, loss\), .* under a key such as 'g_ema'",
        ),
        ("net.pth", {}, r"a dictionary without tensors \(no keys\)"),
        (
            "net.pth",
            {"a": torch.zeros(1), "b": torch.zeros(1)},
            r"of no known family \(a, b\), expected one of resnet_6",
        ),
    ],
)
def test_files_that_hold_nothing(name: str, content: object, message: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(content) if isinstance(content, bytes) else torch.save(content, path)
    with pytest.raises(CheckpointError, match=message) as raised:
        load_generator(path)
    assert str(raised.value).startswith(str(path))
    assert "\n" not in str(raised.value)


def test_safetensors_without_tensors(tmp_path: Path) -> None:
    save_file({}, tmp_path / "net.safetensors")
    with pytest.raises(CheckpointError, match="got a file without tensors"):
        load_generator(tmp_path / "net.safetensors")


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_cut_off_file(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"net{suffix}"
    state = SequentialResnet().state_dict()
    save_file(state, path) if suffix == ".safetensors" else torch.save(state, path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="copy it again"):
        load_generator(path)


def test_missing_file_and_unrelated_directory(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="found no such file"):
        load_generator(tmp_path / "nothing.pth")
    with pytest.raises(CheckpointError, match=r"found no config.json, .* to read a file of weights, give its path"):
        load_generator(tmp_path)


def test_nearest_family(tmp_path: Path) -> None:
    state = dict(SequentialResnet(dropout=True).state_dict())
    del state["model.23.bias"]
    state |= {"model.1.bias": torch.zeros(6), "surplus": torch.zeros(1)}
    path = saved(tmp_path / "net.pth", state)
    with pytest.raises(CheckpointError) as raised:
        load_generator(path)
    assert str(raised.value) == (
        f"{path}: got tensors that fit no known family; nearest is resnet_6blocks, as named by CycleGAN with dropout "
        "or GAN Compression: 1 missing (model.23.bias), 1 unexpected (surplus), 1 of another shape "
        "(model.1.bias: got 6, expected 5); give a class by import path with its config"
    )


@pytest.mark.parametrize(
    ("family", "config", "message"),
    [
        ("resnet_9blocks", None, r"do not fit resnet_9blocks, as named by CycleGAN .*: \d+ missing"),
        ("resnet_6blocks", {"ngf": 64}, r"do not fit resnet_6blocks with this config, .* \d+ of another shape"),
        ("mobile_resnet_6blocks", None, r"do not fit mobile_resnet_6blocks"),
        ("unet_256", None, r"do not fit unet_256"),
    ],
)
def test_named_family_that_does_not_fit(
    family: str, config: dict[str, Any] | None, message: str, tmp_path: Path
) -> None:
    path = saved(tmp_path / "net.pth", SequentialResnet().state_dict())
    with pytest.raises(CheckpointError, match=message):
        load_generator(path, family, config)


def test_named_family_that_fits(tmp_path: Path) -> None:
    path = saved(tmp_path / "net.pth", SequentialResnet((4, 8, 16, 8, 4), (16,) * 6, dropout=True).state_dict())
    assert load_generator(path, "resnet_6blocks", {"ngf": 4, "dropout": 0.5}).config["dropout"] == 0.5
    assert load_generator(path, "resnet").family == "resnet"


def test_config_without_family(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="got options without a family, expected both; name the family"):
        load_generator(tmp_path, config={"ngf": 4})
