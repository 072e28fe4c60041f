from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.utils._pytree import tree_leaves

from gancompress.errors import ConfigError, InputSizeError
from gancompress.networks.config import LatentConfig
from gancompress.networks.families.sngan import SnganConfig
from gancompress.networks.families.stylegan2 import ConstantInput, StyleGan2Config
from gancompress.networks.registry import FAMILIES, architecture_of, build, family_of


def small(family: str) -> dict[str, Any]:
    """A config of the family at a base width of 4."""
    return {FAMILIES[family].config_type.base_width: 4}


@pytest.mark.parametrize("name", FAMILIES)
class TestEveryFamily:
    def test_smallest_image(self, name: str) -> None:
        family, config = FAMILIES[name], small(name)
        side = family.parse(config).min_size
        (image,) = family.architecture(config).example_inputs((side, side))
        with torch.no_grad():
            outputs = tree_leaves(build(name, config).eval()(image))
        assert image.abs().max() <= 1
        assert all(output.isfinite().all() for output in outputs)
        if family.role == "generator":
            parsed = family.parse(config)
            (output,) = outputs
            size = [parsed.image_size] * 2 if isinstance(parsed, LatentConfig) else list(image.shape[2:])
            size = [parsed.output_scale * side for side in size]
            assert output.shape == (1, 3, *size)
            assert output.abs().max() <= 1 or isinstance(parsed, StyleGan2Config) or parsed.output_scale > 1
            assert family.architecture(config).size_multiple <= side

    def test_below_the_smallest_image(self, name: str) -> None:
        """The stated limit is the real one: the next smaller size fails in the network itself or changes the size."""
        family, config = FAMILIES[name], small(name)
        parsed = family.parse(config)
        side = parsed.min_size - parsed.size_multiple
        with pytest.raises(InputSizeError):
            architecture_of(name, config).check_size((side, side))
        if side > 0:
            with pytest.raises((RuntimeError, ValueError)):
                build(name, config)(torch.zeros(1, parsed.in_channels, side, side))

    def test_every_group_is_a_convolution_of_that_width(self, name: str) -> None:
        config = FAMILIES[name].parse(small(name))
        widths = {group: 3 + i for i, group in enumerate(config.default_widths())}
        network = architecture_of(name, {**small(name), "widths": widths}).skeleton()
        for group, width in widths.items():
            layer = network.get_submodule(group)
            if isinstance(config, SnganConfig) and group == "stem":
                assert isinstance(layer, nn.Linear)
                assert layer.out_features == width * config.bottom_size**2
            elif isinstance(layer, ConstantInput):
                assert layer.weight.shape[1] == width
            elif group == "head.linear":
                assert isinstance(layer, nn.Linear)
                assert layer.out_features == width
            else:
                assert isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)
                assert layer.out_channels == width
        assert len(widths) == len(config.default_widths()) == len(set(config.group_widths()))

    def test_narrow_network_runs(self, name: str) -> None:
        family = FAMILIES[name]
        widths = {group: 3 + i for i, group in enumerate(family.parse({}).default_widths())}
        config = {"widths": widths}
        side = max(family.parse(config).min_size, 16)
        outputs = tree_leaves(
            architecture_of(name, config).skeleton()(
                *family.architecture(config).example_inputs((side, side), device="meta")
            )
        )
        assert all(output.shape[0] == 1 for output in outputs)

    def test_at_widths_rebuilds_the_same_network(self, name: str) -> None:
        config = FAMILIES[name].parse({})
        widths = {group: 3 + i for i, group in enumerate(config.default_widths())}
        assert config.at_widths(widths).group_widths() == widths
        assert config.at_widths({}) == config

    def test_unknown_group(self, name: str) -> None:
        group = next(iter(FAMILIES[name].parse({}).default_widths()))
        with pytest.raises(ConfigError, match=f"{name}: widths: unknown group '{group}x', did you mean '{group}'"):
            build(name, {"widths": {f"{group}x": 4}})

    def test_family_of_its_own_config(self, name: str) -> None:
        found = family_of(FAMILIES[name].parse({}))
        assert found.config_type is FAMILIES[name].config_type
        assert found.parse({}) == FAMILIES[name].parse({})


@pytest.mark.parametrize(
    ("family", "config", "message"),
    [
        ("resnet_9blok", {}, "family: got 'resnet_9blok', .* did you mean 'resnet_9blocks'"),
        ("resnet_9blocks", {"nfg": 3}, "nfg: unknown option, did you mean 'ngf'"),
        ("resnet_9blocks", {"ngf": "64"}, "ngf: got '64', expected a valid integer"),
        ("resnet_9blocks", {"ngf": 0}, "ngf: got 0, expected greater than or equal to 1"),
        ("resnet_9blocks", {"norm": "layer"}, "norm: got 'layer', expected 'instance', 'batch' or 'frozen'"),
        ("resnet_9blocks", {"dropout": 1.0}, "dropout: got 1.0, expected less than 1"),
        ("resnet_9blocks", {"num_blocks": 6}, "num_blocks: got 6, expected 9, .*; use resnet_6blocks or .* or resnet$"),
        ("resnet_9blocks", {"separable": True}, "separable: got True, .*; use mobile_resnet_6blocks or "),
        ("unet_256", {"num_downs": 7}, "num_downs: got 7, expected 8, .*; use unet_128 or unet$"),
        ("unet_256", {"widths": {"down.0.conv": 0}}, "widths.down.0.conv: got 0, expected greater"),
        ("sngan_32", {"num_blocks": 4}, "num_blocks: got 4, expected 3, .*; use sngan_64 or sngan$"),
        ("sngan_32", {"in_channels": 3}, "in_channels: unknown option"),
        (
            "sngan_discriminator",
            {"num_classes": 3},
            "in_channels: got 3 for an image and 3 planes of classes, expected",
        ),
        ("stylegan2", {"resolution": 96}, "resolution: got 96, expected a power of two, such as 128"),
        ("stylegan2", {"num_classes": 2}, "num_classes: got 2, expected 0: StyleGAN2 has no classes here"),
        ("stylegan2", {"resolution": 4}, "resolution: got 4, expected greater than or equal to 8"),
        ("cartoongan", {"widths": 3}, "widths: got 3, expected a valid dictionary"),
    ],
)
def test_config_errors(family: str, config: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as raised:
        build(family, config)
    assert "\n" not in str(raised.value)


def test_all_config_errors_at_once() -> None:
    with pytest.raises(ConfigError) as raised:
        build("resnet_9blocks", {"num_blocks": 6, "ngf": "x", "nfg": 3})
    assert all(part in str(raised.value) for part in ("num_blocks", "ngf: got 'x'", "nfg: unknown option"))


def test_preset_may_be_repeated() -> None:
    config = FAMILIES.find("resnet_6blocks").parse({}).model_dump()
    assert config["num_blocks"] == 6
    assert FAMILIES.find("resnet_6blocks").parse(config).model_dump() == config


@pytest.mark.parametrize(
    ("family", "size", "message"),
    [
        ("resnet_9blocks", (250, 256), "got an image of 250x256 .* divisible by 4 and at least 8 px; .* 248x256"),
        ("resnet_9blocks", (4, 4), "for example to 8x8"),
        ("unet_256", (128, 256), "divisible by 256 and at least 256 px; .* 256x256"),
        ("patchgan", (16, 16), "expected both at least 24 px"),
    ],
)
def test_size_errors(family: str, size: tuple[int, int], message: str) -> None:
    with pytest.raises(InputSizeError, match=message):
        architecture_of(family, {}).check_size(size)


def test_fitting_sizes() -> None:
    architecture_of("resnet_9blocks", {}).check_size((256, 512))
    architecture_of("unet", {"num_downs": 5}).check_size((96, 32))
    architecture_of("torch.nn:Conv2d", {}).check_size((1, 1))


def test_patch_map_of_the_published_size() -> None:
    logits = architecture_of("patchgan", {}).skeleton()(torch.zeros(1, 3, 256, 256, device="meta"))
    assert logits.shape == (1, 1, 30, 30)


def test_averaged_logit() -> None:
    config = {"ndf": 4, "affine": True}
    network = build("patchgan", config)
    averaging = build("patchgan", {**config, "global_average": True})
    averaging.load_state_dict(network.state_dict())
    image = torch.linspace(-1, 1, 2 * 3 * 32 * 32).view(2, 3, 32, 32)
    torch.testing.assert_close(averaging(image), network(image).mean(dim=(1, 2, 3))[:, None])


def test_affine_norms() -> None:
    def affine(choice: str) -> set[str]:
        network = architecture_of("resnet_6blocks", {"affine_norms": choice}).skeleton()
        return {path for path, m in network.named_modules() if isinstance(m, nn.InstanceNorm2d) and m.affine}

    stages = {"stem.norm", "down.0.norm", "up.0.norm", "up.1.norm"}
    prunable = stages | {f"blocks.{i}.norm1" for i in range(6)}
    assert affine("none") == set()
    assert affine("prunable") == prunable
    assert affine("all") == prunable | {"down.1.norm"} | {f"blocks.{i}.norm2" for i in range(6)}


@pytest.mark.parametrize(("family", "config"), [("resnet_6blocks", {"dropout": 0.5}), ("unet_256", {"dropout": 0.5})])
def test_dropout_acts_only_in_training(family: str, config: dict[str, Any]) -> None:
    network = build(family, {**config, "ngf": 4, "norm": "instance"})
    (image,) = FAMILIES[family].architecture(config).example_inputs((256, 256) if family == "unet_256" else (16, 16))
    with torch.no_grad():
        assert not torch.equal(network(image), network(image))
        network.eval()
        assert torch.equal(network(image), network(image))


def test_unet_drops_out_in_the_inner_stages_only() -> None:
    network = architecture_of("unet_256", {"dropout": 0.5}).skeleton()
    rates = [network.get_submodule(f"up.{j}.dropout").p for j in range(7)]
    assert rates == [0.0, 0.5, 0.5, 0.5, 0.0, 0.0, 0.0]


def test_initial_weights() -> None:
    network = build("resnet_6blocks", {"ngf": 16})
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            assert module.bias is not None
            assert not module.bias.any()
            assert module.weight.std().item() == pytest.approx(0.02, rel=0.15)
