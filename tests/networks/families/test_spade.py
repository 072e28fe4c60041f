from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from gancompress.architecture_search import SearchSpace
from gancompress.channels import ChannelGraph, SubNetwork, materialise, narrow, trace
from gancompress.channels.skeleton import named_tensors
from gancompress.channels.slots import slots_from_widths
from gancompress.errors import PlanError
from gancompress.networks.config_strings import widths_from_string
from gancompress.networks.families.spade import Spade, SpadeConfig
from gancompress.networks.generator import Generator
from gancompress.networks.registry import FAMILIES, architecture_of, build
from gancompress.networks.spectral_norm import fold_spectral_norm
from tests.networks.plan_strings import at_string

TINY: dict[str, Any] = {"ngf": 4, "in_channels": 5, "upsampling": "normal"}
NORMED = {**TINY, "spectral_norm": True}


def label_map(size: tuple[int, int] = (64, 64), batch: int = 2) -> Tensor:
    labels = (torch.arange(batch * size[0] * size[1]) * 7 // 5 % 5).view(batch, *size)
    return nn.functional.one_hot(labels, 5).movedim(-1, 1).float()


def step(network: nn.Module) -> Tensor:
    """One step of training by hand; returns the image that it began with."""
    network.train()
    image = network(label_map())
    network.zero_grad()
    (image - 0.5).square().mean().backward()
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.grad is not None:
                parameter -= 0.1 * parameter.grad
    return image.detach()


@pytest.mark.parametrize(
    ("upsampling", "size", "start", "sides"),
    [
        ("normal", (256, 256), (8, 8), [8, 16, 16, 32, 64, 128, 256]),
        ("more", (256, 512), (4, 8), [4, 8, 16, 32, 64, 128, 256]),
        ("most", (256, 512), (2, 4), [2, 4, 8, 16, 32, 64, 128, 256]),
        ("normal", (96, 160), (3, 5), [3, 6, 6, 12, 24, 48, 96]),
    ],
)
def test_sizes_on_the_way(upsampling: str, size: tuple[int, int], start: tuple[int, int], sides: list[int]) -> None:
    network = architecture_of("spade", {"ngf": 2, "upsampling": upsampling}).skeleton()
    seen: dict[str, torch.Size] = {}
    for name, part in network.named_children():
        part.register_forward_hook(lambda *call, name=name: seen.update({name: call[2].shape}))
    image = network(torch.zeros(1, 36, *size, device="meta"))
    assert seen["fc"][2:] == start
    blocks = SpadeConfig(upsampling=upsampling).blocks  # type: ignore[arg-type]
    assert [seen[block][2] for block in blocks] == sides
    assert [seen[block][1] for block in blocks] == [32, 32, 32, 16, 8, 4, 2, 1][: len(blocks)]
    assert image.shape == (1, 3, *size)


def test_distillation_taps_are_blocks() -> None:
    config = FAMILIES.find("mobile_spade").parse({})
    assert config.distillation_taps == ("head_0", "G_middle_1", "up_1")
    network = architecture_of("mobile_spade", {}).skeleton()
    assert all(network.get_submodule(tap) is not None for tap in config.distillation_taps)


@pytest.mark.parametrize("norm", ["instance", "batch", "sync_batch"])
def test_the_norm_by_its_formula(norm: str) -> None:
    """Every pixel is scaled and shifted as its label says."""
    layer = Spade(3, 4, SpadeConfig(in_channels=2, norm=norm))  # type: ignore[arg-type]
    labels = torch.zeros(2, 2, 6, 6)
    labels[:, 0, :, :3] = 1
    labels[:, 1, :, 3:] = 1
    with torch.no_grad():
        for conv in (layer.shared.get_submodule("conv"), layer.gamma, layer.beta):
            conv.weight.zero_()
            conv.bias.zero_()
        layer.shared.get_submodule("conv").weight[0, 0, 1, 1] = 1  # the first hidden channel is the first label
        layer.gamma.weight[:, 0, 1, 1] = torch.tensor([1.0, 2.0, 3.0])
        layer.beta.weight[:, 0, 1, 1] = torch.tensor([0.0, 0.0, 5.0])
        features = torch.randn(2, 3, 6, 6) * 3 + 1
        result = layer(features, labels)
    dims = (2, 3) if norm == "instance" else (0, 2, 3)
    variance, mean = torch.var_mean(features, dim=dims, correction=0, keepdim=True)
    normal = (features - mean) / (variance + 1e-5).sqrt()
    torch.testing.assert_close(result[..., 3:], normal[..., 3:])
    scale, shift = torch.tensor([2.0, 3.0, 4.0]).view(3, 1, 1), torch.tensor([0.0, 0.0, 5.0]).view(3, 1, 1)
    torch.testing.assert_close(result[..., :3], (normal * scale + shift)[..., :3])
    assert not list(layer.norm.parameters())


def test_only_scales_and_shifts_are_separable() -> None:
    network = architecture_of("mobile_spade", TINY).skeleton()
    depthwise = {path for path, m in network.named_modules() if isinstance(m, nn.Conv2d) and m.groups > 1}
    norms = [path for path, m in network.named_modules() if isinstance(m, Spade)]
    assert depthwise == {f"{norm}.{made}.depthwise" for norm in norms for made in ("gamma", "beta")}


@pytest.mark.parametrize(
    ("kind", "layer"), [("none", None), ("instance", nn.InstanceNorm2d), ("batch", nn.BatchNorm2d)]
)
def test_norm_inside_separable_convolutions(kind: str, layer: type[nn.Module] | None) -> None:
    gamma = architecture_of("mobile_spade", {**TINY, "inner_norm": kind}).skeleton().get_submodule("up_0.norm_s.gamma")
    assert [type(part) for part in gamma.children() if not isinstance(part, nn.Conv2d)] == ([layer] if layer else [])


@pytest.fixture(scope="module")
def supernet() -> ChannelGraph:
    """The graph of the separable network at its published width, its groups tied as in the literature."""
    config = {**TINY, "ngf": 64}
    with torch.device("meta"):
        network = build("mobile_spade", config)
    tied = FAMILIES.find("mobile_spade").parse(config).slots("slots8")
    return trace(network, [torch.zeros(1, 5, 64, 64, device="meta")], slots=tied)


class TestPlanStrings:
    def test_meaning_of_the_numbers(self) -> None:
        config = FAMILIES.find("mobile_spade").parse({})
        widths = widths_from_string(config, "1_2_3_4_5_6_7_8")
        assert list(widths) == list(config.default_widths())
        assert widths["fc"] == 16
        convs = {group: width for group, width in widths.items() if ".conv_" in group}
        assert list(convs.values()) == [32, 48, 64, 40, 40, 24, 24, 14, 14, 8, 8]
        hidden = [width for group, width in widths.items() if "shared" in group]
        assert hidden == [4, 4, 6, 6, 8, 8, 10, 10, 10, 12, 12, 12, 14, 14, 14, 16, 16, 16]

    def test_built_at_a_string(self) -> None:
        config = at_string("mobile_spade", "32_32_32_32_32_32_32_32").config
        assert (config["ngf"], config["widths"]) == (32, {})

    @pytest.mark.parametrize(
        ("text", "config", "message"),
        [
            ("16_16", {}, r"got 2 numbers in '16_16', expected one of 8 \(slots8\)"),
            (
                "legacy:1_2_3_4_5_6_7_8",
                {},
                "got 'legacy:.*' for SpadeConfig, expected a string of slots8",
            ),
            ("1_2_3_4_5_6_7_8", {"upsampling": "most"}, "got a SPADE generator with eight blocks, expected seven"),
        ],
    )
    def test_errors(self, text: str, config: dict[str, Any], message: str) -> None:
        with pytest.raises(PlanError, match=message):
            at_string("spade", text, **config)

    @pytest.mark.parametrize(
        ("name", "size"),
        [
            ("spade-channels-48", 15_552),
            ("spade-channels-64", 128_000),
            ("spade-channels-64-coco", 390_625),
            ("spade-channels-64-2", 5_764_801),
        ],
    )
    def test_config_sets(self, supernet: ChannelGraph, name: str, size: int) -> None:
        space = SearchSpace.from_set(name, supernet)
        assert space.size == size
        assert [slot.name for slot in space.slots] == ["fc", *FAMILIES.find("spade").parse({}).blocks]
        for values in (space.smallest, space.largest):
            plan = space.plan(values)
            assert slots_from_widths(supernet.slots, plan.widths) == values
            assert dict(plan.widths) == widths_from_string(FAMILIES.find("spade").parse({}), space.text(values))

    def test_widths_of_one_slot_stay_together(self, supernet: ChannelGraph) -> None:
        assert slots_from_widths(supernet.slots, supernet.uniform_plan(0.5).widths) == (32,) * 8
        space = SearchSpace.from_graph(supernet, max_choices=3)
        assert space.choices == ((16, 40, 64),) * 8
        with pytest.raises(PlanError, match=r"slot up_3: its groups have widths \[32, 64, 128\], expected one value"):
            supernet.plan({"up_3.conv_0": 32})


def other_kind() -> tuple[nn.Module, Tensor]:
    """Instance norms outside, batch norms inside, spectral norm kept: all that the families' cases leave out."""
    config = {**NORMED, "norm": "instance", "inner_norm": "batch"}
    return build("mobile_spade", config), label_map(batch=1)


def test_supernet_with_spectral_norm_equals_the_narrow_network() -> None:
    wide, labels = other_kind()
    graph = trace(wide, (labels,), multiple=1, minimum=1)
    assert graph.unfollowed == ()
    plan = graph.uniform_plan(0.6)
    small = materialise(wide, graph, plan)
    for mode in (False, True):
        expected, got = small.train(mode)(labels), SubNetwork(wide.train(mode), graph, plan)(labels)
        assert torch.equal(got, expected)
        updated = narrow(named_tensors(wide), graph, plan)
        assert all(torch.equal(updated[name], buffer) for name, buffer in small.named_buffers())
    assert small.get_parameter("up_0.conv_0.parametrizations.weight.original").shape[0] == plan.widths["up_0.conv_0"]


class TestSpectralNorm:
    def test_on_the_convolutions_of_the_blocks(self) -> None:
        network = architecture_of("spade", NORMED).skeleton()
        normed = {path for path, m in network.named_modules() if parametrize.is_parametrized(m)}
        blocks = FAMILIES.find("spade").parse(NORMED).blocks
        expected = {f"{block}.conv_{i}" for block in blocks for i in (0, 1)}
        assert normed == expected | {f"up_{i}.conv_s" for i in range(4)}

    def test_divides_by_the_largest_singular_value(self) -> None:
        network = build("spade", NORMED)
        for _ in range(20):
            network(label_map())
        weight = network.eval().get_submodule("up_1.conv_0").weight
        assert isinstance(weight, Tensor)
        assert torch.linalg.matrix_norm(weight.flatten(1), 2).item() == pytest.approx(1, abs=0.02)

    @pytest.mark.parametrize("how", ["saved and loaded", "copied"])
    def test_training_goes_on_the_same(self, how: str, tmp_path: Path) -> None:
        network = build("spade", NORMED)
        step(network)
        if how == "copied":
            other = copy.deepcopy(network)
        else:
            Generator.from_module(network, "spade", NORMED).save(tmp_path)
            other = Generator.load(tmp_path).build()
        for _ in range(2):
            assert torch.equal(step(network), step(other))
        state = other.state_dict()
        assert all(torch.equal(tensor, state[name]) for name, tensor in network.state_dict().items())

    def test_building_draws_no_random_numbers(self) -> None:
        generator = Generator.from_module(build("spade", NORMED), "spade", NORMED)
        before = torch.get_rng_state()
        generator.build()
        assert torch.equal(torch.get_rng_state(), before)

    def test_folded_and_narrowed(self) -> None:
        """Folded it is the same network, and narrowing then cuts the weights that evaluation had."""
        network = build("spade", NORMED)
        step(network)
        normed = Generator.from_module(network, "spade", NORMED)
        folded = fold_spectral_norm(normed)
        assert folded.config == {**normed.config, "spectral_norm": False}
        with torch.no_grad():
            assert torch.equal(folded.build()(label_map()), normed.build()(label_map()))
        assert fold_spectral_norm(folded) is folded

        wide = folded.build()
        graph = trace(wide, (label_map(),), multiple=1, minimum=1)
        plan = graph.uniform_plan(0.5)
        small = materialise(wide, graph, plan)
        effective = normed.build().get_submodule("head_0.conv_0").weight
        assert isinstance(effective, Tensor)
        kept = (slice(plan.widths["head_0.conv_0"]), slice(plan.widths["fc"]))
        assert torch.equal(small.get_parameter("head_0.conv_0.weight"), effective[kept])

    def test_initial_weights_are_those_without_it(self) -> None:
        weight = build("spade", {**NORMED, "ngf": 8}).get_parameter("head_0.conv_0.parametrizations.weight.original")
        assert weight.std().item() == pytest.approx(0.02, rel=0.05)
