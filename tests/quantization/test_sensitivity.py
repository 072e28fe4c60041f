import math

import pytest
import torch

from gancompress.errors import BudgetError, ConfigError, DataError
from gancompress.quantization import (
    Distance,
    QuantizationOptions,
    Sensitivity,
    by_time,
    calibrate,
    distance_to_float,
    mixed_precision,
    quantize,
    quantized_layers,
    remove_quantization,
    sensitivities,
)
from tests.quantization.networks import images, network

OPTIONS = QuantizationOptions(weight_bits=4, activation_bits=6)


@pytest.fixture
def quantized():
    net, photos = network("unet"), images("unet", 8)
    quantize(net, OPTIONS)
    calibrate(net, [photos], min_images=1)
    return net, photos


def test_the_distance_is_that_of_the_two_outputs(quantized):
    net, photos = quantized
    distance = distance_to_float(net, photos.split(4))
    got = net(photos)
    difference = (got - remove_quantization(net)(photos)).detach()
    assert distance.l1 == pytest.approx(float(difference.abs().mean()), rel=1e-4)
    assert distance.psnr_db == pytest.approx(10 * math.log10(4 / float(difference.square().mean())), abs=1e-3)


def test_a_layer_alone_is_the_network_with_only_it_quantized(quantized):
    net, photos = quantized
    ranked = sensitivities(net, [photos])
    assert {each.layer for each in ranked} == set(quantized_layers(net))
    assert [each.distance.l1 for each in ranked] == sorted((each.distance.l1 for each in ranked), reverse=True)
    worst = ranked[0]
    others = {path: "float" for path in quantized_layers(net) if path != worst.layer}
    remove_quantization(net)
    quantize(net, QuantizationOptions(weight_bits=4, activation_bits=6, layer_bits=others))
    calibrate(net, [photos], min_images=1)
    assert distance_to_float(net, [photos]).l1 == pytest.approx(worst.distance.l1, rel=0.05)


@pytest.mark.parametrize("spared", ["float", 16])
def test_layers_are_spared_until_the_image_is_close_enough(quantized, spared):
    net, photos = quantized
    ranked = sensitivities(net, [photos])
    budget = distance_to_float(net, [photos]).psnr_db + 6
    mixed = mixed_precision(net, OPTIONS, ranked, [photos], budget, spared=spared)

    assert mixed.distance.psnr_db >= budget
    assert mixed.spared == tuple(each.layer for each in ranked[: len(mixed.spared)])
    assert 0 < len(mixed.spared) < len(ranked)
    assert distance_to_float(net, [photos]) == mixed.distance

    again = quantize(remove_quantization(net), mixed.options)
    bits = {path: layer.weight_quantizer.bits for path, layer in quantized_layers(again).items()}
    assert {path for path in mixed.spared if bits.get(path, "float") == spared} == set(mixed.spared)
    assert set(bits.values()) <= {4, 16}


def test_no_layer_is_spared_where_all_is_well(quantized):
    net, photos = quantized
    mixed = mixed_precision(net, OPTIONS, sensitivities(net, [photos]), [photos], 1.0)
    assert mixed.spared == ()
    assert mixed.options == OPTIONS


def test_what_cannot_be_reached_is_said(quantized):
    net, photos = quantized
    with pytest.raises(
        BudgetError, match=r"with all 6 layers spared \(16\) the output has .* dB to float, expected 300; ask"
    ):
        mixed_precision(net, OPTIONS, sensitivities(net, [photos]), [photos], 300, spared=16)
    with pytest.raises(DataError, match="got no images"):
        distance_to_float(net, [])
    paper = QuantizationOptions(scheme="gan_slimming")
    with pytest.raises(ConfigError, match="has 8 bits only"):
        mixed_precision(net, paper, [], [photos], 0.1, spared=16)


def test_all_layers_float_is_no_distance(quantized):
    net, photos = quantized
    mixed = mixed_precision(net, OPTIONS, sensitivities(net, [photos]), [photos], math.inf)
    assert mixed.distance.l1 == 0
    assert mixed.distance.psnr_db == math.inf
    assert torch.equal(net(photos), remove_quantization(net)(photos))


def test_the_error_that_goes_for_each_millisecond_decides():
    one, other, free = (
        Sensitivity(layer, Distance(0.1, psnr)) for layer, psnr in [("one", 30.0), ("other", 27.0), ("free", 50.0)]
    )
    assert [each.layer for each in by_time([one, other, free], {"one": 1.0, "other": 1.0})] == ["free", "other", "one"]
    assert [each.layer for each in by_time([one, other], {"one": 1.0, "other": 3.0})] == ["one", "other"]
