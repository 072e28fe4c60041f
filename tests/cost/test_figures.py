"""The published counts, to the unit, from the closed form and from the hooks.

Source: released networks and documents of GAN Compression, CycleGAN, GAN Slimming and CartoonGAN, counted at 256x256.
"""

from __future__ import annotations

import pytest
import torch
from torch import nn

from gancompress.channels import ChannelGraph, ChannelPlan, trace
from gancompress.cost import CostModel, Macs, measure
from gancompress.networks.config_strings import widths_from_string
from gancompress.networks.registry import FAMILIES
from tests.networks.plan_strings import at_string

SIZE = (256, 256)

# family, config, parameters, true, outsize, gc (None where the literature gives none)
FULL = [
    ("resnet_9blocks", {}, 11_378_179, 49_551_507_456, 56_799_264_768, 56_831_770_624),
    ("resnet_9blocks", {"ngf": 96}, 25_582_851, 110_566_047_744, 126_873_501_696, 126_922_260_480),
    ("resnet_9blocks", {"ngf": 32}, 2_850_563, 12_696_158_208, 14_508_097_536, None),
    ("resnet_9blocks", {"ngf": 16}, 715_651, 3_328_180_224, 3_781_165_056, None),
    ("resnet_6blocks", {}, 7_837_699, 35_055_992_832, 42_303_750_144, None),
    ("mobile_resnet_9blocks", {}, 1_987_075, 11_066_671_104, 18_314_428_416, 18_365_808_640),
    ("mobile_resnet_9blocks", {"ngf": 96}, 4_418_307, 23_847_763_968, 40_155_217_920, 40_232_288_256),
    ("mobile_resnet_9blocks", {"ngf": 48}, 1_130_883, 6_488_064_000, 10_564_927_488, 10_603_462_656),
    ("mobile_resnet_9blocks", {"ngf": 32}, 514_307, 3_117_416_448, 4_929_355_776, 4_955_045_888),
    ("resnet_9blocks", {"affine_norms": "prunable"}, 11_383_555, 49_551_507_456, 56_799_264_768, None),
    ("cartoongan", {}, 11_129_667, 54_383_345_664, 61_631_102_976, None),
    ("sngan_32", {}, 4_276_739, 1_681_129_472, 1_681_129_472, None),
    ("patchgan", {"in_channels": 6, "ndf": 128}, 11_040_641, None, None, None),
    ("patchgan", {}, 2_764_737, None, None, None),
    ("patchgan", {"in_channels": 6}, 2_767_809, None, None, None),
]

# SPADE: family, config, plan string, parameters, true, gc without and with the norms inside separable convolutions
COCO = {"in_channels": 184, "upsampling": "normal"}
SPADE = [
    ("spade", {}, "", 93_048_003, 281_276_612_608, 281_413_582_848, 281_413_582_848),
    ("mobile_spade", {}, "", 70_680_771, 118_603_104_256, 118_740_074_496, 118_874_112_000),
    ("mobile_spade", {"ngf": 48}, "", 39_975_315, 71_056_281_600, 71_159_009_280, 71_259_537_408),
    ("mobile_spade", {}, "32_40_40_32_40_24_32_24", 21_002_811, 31_114_369_024, 31_177_914_368, 31_231_770_624),
    ("mobile_spade", {}, "32_32_32_48_32_24_24_32", 20_174_275, 31_155_085_312, 31_212_822_528, 31_275_974_656),
    ("mobile_spade", {}, "32_32_48_32_32_32_32_24", 20_425_019, 31_608_315_904, 31_673_720_832, 31_728_173_056),
    ("spade", COCO, "", 97_480_899, 191_140_069_376, 191_209_537_536, 191_209_537_536),
    ("mobile_spade", COCO, "40_32_32_40_32_40_24_24", 25_985_755, 35_415_359_488, 35_447_291_904, 35_473_408_000),
]

# plan string, parameters, outsize, gc, true
SUB_NETWORKS = [
    ("16_16_32_16_32_32_16_16", 356_867, 2_525_233_152, 2_546_204_672, 1_845_755_904),
    ("16_16_24_16_32_64_16_24", 355_235, 2_618_425_344, 2_640_576_512, 1_938_948_096),
    ("24_24_24_32_20_16", 341_627, 2_649_096_192, 2_670_067_712, 1_941_307_392),
    ("32_32_48_32_48_48_16_16", 822_051, 4_961_599_488, 4_993_843_200, 4_055_629_824),
    ("24_24_40_56_24_56_16_40", 702_835, 4_831_838_208, 4_863_164_416, 3_699_376_128),
    ("legacy:32_32_40_48_16_32", 699_875, 4_777_967_616, 4_808_769_536, 3_758_751_744),
    ("32_32_48_32_32_48_24_24", 780_819, 5_560_074_240, 5_591_531_520, 4_031_250_432),
    ("16_24_48_56_40_48_24_16", 886_307, 5_418_516_480, 5_451_284_480, 4_059_561_984),
    ("48_32_40_40_24_32", 707_347, 5_633_212_416, 5_664_538_624, 4_104_388_608),
    ("32_32_48_32_48_32_16_16", 746_211, 4_652_531_712, 4_683_202_560, 3_746_562_048),
    ("16_16_40_40_40_64_24_16", 719_507, 4_539_678_720, 4_569_694_208, 3_350_593_536),
    ("32_32_48_40_64_40_16_32", 904_867, None, 5_761_662_976, None),
    ("16_16_16_16_16_16_16_16", 137_347, None, 1_420_558_336, None),
    ("32_32_32_32_32_32_16_16", 461_219, None, 3_289_382_912, None),
]


def check(parameters: int, macs: Macs, expected: tuple) -> None:
    assert parameters == expected[0]
    for got, published in zip((macs.outsize, macs.gc, macs.true), expected[1:], strict=True):
        assert published is None or got == published


@pytest.mark.parametrize(("family", "config", "parameters", "true", "outsize", "gc"), FULL)
def test_full_networks(family, config, parameters, true, outsize, gc):
    expected = (parameters, outsize, gc, true)
    inputs = FAMILIES.find(family).architecture(config).example_inputs(SIZE, device="meta")
    with torch.device("meta"):
        module = FAMILIES.find(family).build(config)
    graph = trace(module, inputs)
    cost = CostModel(graph).at(graph.full_plan())
    check(cost.parameters, cost.macs, expected)
    measured = measure(module, inputs)
    check(measured.parameters, measured.macs, expected)
    assert measured.uncounted == ()


# StyleGAN2 (Content-Aware GAN Compression): resolution, share removed, parameters, true
STYLEGAN2 = [
    (256, 0.0, 30_034_338, 45_124_673_536),
    (256, 0.5, 10_206_434, 11_295_387_648),
    (256, 0.6, 7_661_682, 7_327_908_816),
    (256, 0.7, 5_573_364, 4_123_578_080),
    (256, 0.8, 3_955_202, 1_857_392_944),
    (1024, 0.0, 30_370_060, 74_266_894_336),
    (1024, 0.5, 10_339_740, 18_618_740_736),
    (1024, 0.6, 7_764_730, 12_173_982_672),
    (1024, 0.7, 5_647_891, 6_990_183_648),
    (1024, 0.8, 4_001_662, 3_164_876_592),
]


@pytest.mark.parametrize("size", [256, 1024])
def test_stylegan2(size):
    """Mapping and modulation count, filters of blurs do not; from a plan of the wide network, and as built."""
    family = FAMILIES.find("stylegan2")
    inputs = family.architecture({}).example_inputs(SIZE, device="meta")
    with torch.device("meta"):
        module = family.build({"resolution": size})
    graph = trace(module, inputs, multiple=1, minimum=1)
    model = CostModel(graph)
    for _, removed, parameters, true in (row for row in STYLEGAN2 if row[0] == size):
        plan = graph.plan({name: group.size - int(removed * group.size) for name, group in graph.groups.items()})
        cost = model.at(plan)
        assert (cost.parameters, cost.macs.true) == (parameters, true)
        with torch.device("meta"):
            measured = measure(family.build({"resolution": size, "widths": dict(plan.widths)}), inputs)
        assert (measured.parameters, measured.macs) == (parameters, cost.macs)
        assert not any("outside a known layer" in line for line in measured.uncounted)
    layers = {path: macs.true for path, macs in model.layers(graph.full_plan()).items()}
    if size == 256:
        parts = {"conv": 0, "to_rgb": 0, "mapping": 0, "modulation": 0}
        for path, macs in layers.items():
            kind = "to_rgb" if path.startswith("to_rgb") and path.endswith("conv") else path.rpartition(".")[2]
            parts["mapping" if path.startswith("mapping") else kind if kind in parts else "conv"] += macs
        expected = {"conv": 45_071_990_784, "to_rgb": 46_129_152, "mapping": 2_097_152, "modulation": 4_456_448}
        assert parts == expected


@pytest.fixture(scope="module")
def wide() -> tuple[nn.Module, ChannelGraph, CostModel]:
    """The once-for-all network that every sub-network of the table is part of."""
    family = FAMILIES.find("mobile_resnet_9blocks")
    with torch.device("meta"):
        module = family.build({})
    graph = trace(module, family.architecture({}).example_inputs(SIZE, device="meta"), multiple=1, minimum=1)
    return module, graph, CostModel(graph)


@pytest.mark.parametrize("row", SUB_NETWORKS, ids=[row[0] for row in SUB_NETWORKS])
def test_sub_networks_as_plans_of_the_wide_network(row, wide):
    family = FAMILIES.find("mobile_resnet_9blocks")
    plan = wide[1].plan(widths_from_string(family.parse({}), row[0]))
    cost = wide[2].at(plan)
    check(cost.parameters, cost.macs, row[1:])


@pytest.mark.parametrize("row", SUB_NETWORKS, ids=[row[0] for row in SUB_NETWORKS])
def test_sub_networks_built_at_their_widths(row):
    config = at_string("mobile_resnet_9blocks", row[0]).config
    family = FAMILIES.find("mobile_resnet_9blocks")
    with torch.device("meta"):
        measured = measure(family.build(config), family.architecture(config).example_inputs(SIZE, device="meta"))
    check(measured.parameters, measured.macs, row[1:])


@pytest.mark.parametrize("row", SPADE, ids=[f"{row[0]} {row[2]} {row[1]}" for row in SPADE])
def test_spade_as_built(row):
    name, options, text, parameters, true, without, gc = row
    family = FAMILIES.find(name)
    config = at_string(name, text, **options).config if text else options
    inputs = family.architecture(config).example_inputs((256, 256 if options == COCO else 512), device="meta")
    for inner, published in (("instance", gc), ("none", without)):
        with torch.device("meta"):
            measured = measure(family.build({**config, "inner_norm": inner}), inputs)
        check(measured.parameters, measured.macs, (parameters, true, published, true))
        assert measured.uncounted == ()


def test_spade_as_plans_of_the_wide_network():
    family = FAMILIES.find("mobile_spade")
    with torch.device("meta"):
        wide = family.build({})
    graph = trace(wide, family.architecture({}).example_inputs((256, 512), device="meta"), multiple=1, minimum=1)
    model = CostModel(graph)
    for name, options, text, parameters, true, _, gc in SPADE:
        if name == "mobile_spade" and options != COCO:
            plan = graph.plan(widths_from_string(family.parse({}), text or "_".join([str(options.get("ngf", 64))] * 8)))
            cost = model.at(plan)
            check(cost.parameters, cost.macs, (parameters, true, gc, true))


def closed_form(c: list[int], height: int, width: int) -> tuple[int, int, int, int]:
    """(parameters, outsize, gc, true) of an eight-slot sub-network, written out by hand."""
    full, half, quarter = height * width, height * width // 4, height * width // 16
    stream, middles = 4 * c[2], [4 * c[3 + block // 3] for block in range(9)]
    enter = full * c[0] * 3 * 49 + half * 2 * c[1] * c[0] * 9 + quarter * stream * 2 * c[1] * 9
    blocks = sum(quarter * (9 * stream + stream * m + 9 * m + m * stream) for m in middles)
    up = half * 2 * c[6] * stream * 9 + full * c[7] * 2 * c[6] * 9
    leave = full * 3 * c[7] * 49
    norms = full * c[0] + half * 2 * c[1] + quarter * stream + half * 2 * c[6] + full * c[7]
    norms += sum(quarter * (2 * stream + 2 * m) for m in middles)
    parameters = 3 * c[0] * 49 + c[0] + 2 * c[1] * c[0] * 9 + 2 * c[1] + stream * 2 * c[1] * 9 + stream
    parameters += sum(10 * stream + stream * m + m + 10 * m + m * stream + stream for m in middles)
    parameters += stream * 2 * c[6] * 9 + 2 * c[6] + 2 * c[6] * c[7] * 9 + c[7] + c[7] * 3 * 49 + 3
    outsize = enter + blocks + up + leave
    return parameters, outsize, outsize + norms, enter + blocks + up // 4 + leave


@pytest.mark.parametrize("values", [[16, 24, 32, 40, 48, 56, 64, 16], [64, 8, 16, 8, 64, 24, 8, 40]])
def test_any_plan_equals_the_formula_by_hand(values, wide):
    config = FAMILIES.find("mobile_resnet_9blocks").parse({})
    cost = wide[2].at(wide[1].plan(widths_from_string(config, "_".join(map(str, values)))))
    check(cost.parameters, cost.macs, closed_form(values, *SIZE))


def test_the_unit_of_gan_slimming():
    macs = Macs(true=0, outsize=56_799_264_768, cheap_layers=0)
    assert round(macs.count("gi"), 2) == 52.90
    assert round(Macs(true=0, outsize=1_681_129_472, cheap_layers=0).count("gi"), 2) == 1.57


def test_gan_slimming_prunes_thirteen_groups_of_2688_scales():
    config = {"affine_norms": "prunable"}
    family = FAMILIES.find("resnet_9blocks")
    with torch.device("meta"):
        graph = trace(family.build(config), family.architecture(config).example_inputs((64, 64), device="meta"))
    scaled = [name for name in graph.groups if any(graph.members(name, ["scale"]))]
    assert [graph.groups[name].size for name in scaled] == [64, 128, *[256] * 9, 128, 64]
    assert sum(graph.groups[name].size for name in scaled) == 2688
    plan: ChannelPlan = graph.full_plan()
    many_dimensional = sum(
        torch.Size(axis.extent.at(plan.widths) for axis in axes).numel()
        for name, axes in graph.tensors.items()
        if name in graph.parameters and len(axes) > 1
    )
    assert many_dimensional == 11_372_928
