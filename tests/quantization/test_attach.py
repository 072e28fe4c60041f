import copy

import pytest
import torch
from torch import nn

from gancompress.channels import SubNetwork, materialise, trace
from gancompress.errors import ConfigError
from gancompress.quantization import (
    QuantizationOptions,
    calibrate,
    fake_quantize,
    quantizable_layers,
    quantize,
    quantized_layers,
    ranges_of,
    remove_quantization,
    symmetric_grid,
)
from gancompress.quantization.layers import output_axis
from tests.quantization.networks import FAMILIES, images, network

WEIGHTS_ONLY = QuantizationOptions(activation_bits=None)

LAYERS = {
    "conv": (lambda: nn.Conv2d(4, 6, 3, stride=2, padding=1), (2, 4, 9, 9)),
    "same": (lambda: nn.Conv2d(4, 6, 3, padding="same", dilation=2), (2, 4, 9, 9)),
    "reflect": (lambda: nn.Conv2d(4, 6, 3, padding=1, padding_mode="reflect"), (2, 4, 9, 9)),
    "depthwise": (lambda: nn.Conv2d(4, 8, 3, groups=4), (2, 4, 9, 9)),
    "transposed": (lambda: nn.ConvTranspose2d(4, 6, 3, 2, 1, 1), (2, 4, 9, 9)),
    "transposed groups": (lambda: nn.ConvTranspose2d(4, 6, 4, 2, 1, groups=2), (2, 4, 9, 9)),
    "transposed depthwise": (lambda: nn.ConvTranspose2d(4, 4, 4, 2, 1, groups=4), (2, 4, 9, 9)),
    "conv 1-D": (lambda: nn.Conv1d(4, 6, 3, padding=1, padding_mode="replicate"), (2, 4, 9)),
    "transposed 1-D": (lambda: nn.ConvTranspose1d(4, 6, 4, 2, 1), (2, 4, 9)),
    "linear": (lambda: nn.Linear(4, 6, bias=False), (6, 4)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_a_quantized_layer_is_the_float_layer_on_rounded_weights_and_inputs(name):
    make, shape = LAYERS[name]
    layer, values = make(), torch.randn(shape)
    expected = copy.deepcopy(layer)
    quantize(layer, QuantizationOptions(image=True, ranges="minmax"))
    calibrate(layer, [values], min_images=1)

    grid = layer.input_quantizer.grid()
    with torch.no_grad():
        expected.weight.copy_(fake_quantize(expected.weight, symmetric_grid(expected.weight, 8, output_axis(expected))))
    assert torch.equal(layer.eval()(values), expected(fake_quantize(values, grid)))


def test_transposed_convolutions_have_a_scale_for_each_output_channel():
    layer = nn.ConvTranspose2d(4, 6, 3)
    assert symmetric_grid(layer.weight, 8, output_axis(layer)).scale.shape == (6,)
    depthwise = nn.ConvTranspose2d(4, 4, 3, groups=4)
    assert symmetric_grid(depthwise.weight, 8, output_axis(depthwise)).scale.shape == (4,)


def test_a_transposed_convolution_still_takes_an_output_size():
    layer = quantize(nn.ConvTranspose2d(3, 2, 3, 2, 1), WEIGHTS_ONLY)
    assert layer(torch.randn(1, 3, 5, 5), output_size=[10, 10]).shape == (1, 2, 10, 10)


@pytest.mark.parametrize("family", FAMILIES)
def test_removing_quantization_gives_the_float_network_back(family):
    net, photos = network(family), images(family)
    expected, names, kinds = net(photos), list(net.state_dict()), [type(part) for part in net.modules()]
    quantize(net, QuantizationOptions())
    calibrate(net, [photos], min_images=1)
    assert set(names) <= set(net.state_dict())
    assert set(net.state_dict()) - set(names) == set(ranges_of(net))
    assert 0 < (net(photos) - expected).abs().mean() < 0.2
    remove_quantization(net)
    assert list(net.state_dict()) == names
    assert [type(part) for part in net.modules()] == kinds
    assert torch.equal(net(photos), expected)


@pytest.mark.parametrize("family", FAMILIES)
def test_more_bits_come_closer_to_float(family):
    net, photos = network(family), images(family)
    expected, distances = net(photos), []
    for bits in (4, 8, 16):
        quantize(net, QuantizationOptions(weight_bits=bits, activation_bits=bits, ranges="minmax", image=True))
        calibrate(net, [photos], min_images=1)
        distances.append(float((net(photos) - expected).detach().abs().mean()))
        remove_quantization(net)
    assert distances[0] > 3 * distances[1] > 9 * distances[2]
    assert distances[2] < 1e-3


def test_training_reaches_the_float_weights_through_the_rounding():
    net = network("resnet_6blocks").train()
    quantize(net, QuantizationOptions(weight_bits=4, activation_bits=4, ranges="learned"))
    photos = images("resnet_6blocks")
    net(photos).square().mean().backward()
    assert all(parameter.grad is not None for parameter in net.parameters())
    moved = [name for name, parameter in net.named_parameters() if name.endswith("weight") and parameter.grad.any()]
    assert len(moved) == len(quantized_layers(net))
    learned = [p for name, p in net.named_parameters() if "input_quantizer" in name]
    assert len(learned) == 2 * (len(quantized_layers(net)) - 1)
    assert sum(bool(p.grad.any()) for p in learned) == len(learned)


@pytest.mark.parametrize("ranges", ["mse", "learned"])
def test_quantized_training_makes_up_for_few_bits(ranges):
    """A student with 3-bit weights comes closer to its float teacher by training through the rounding."""
    net, photos = network("resnet_6blocks"), images("resnet_6blocks", 8)
    target = net(photos).detach()
    quantize(net, QuantizationOptions(weight_bits=3, activation_bits=4, ranges=ranges))
    calibrate(net, [photos], min_images=1)

    def distance() -> torch.Tensor:
        return (net(photos) - target).abs().mean()

    before = float(distance().detach())
    optimizer = torch.optim.Adam(net.parameters(), lr=5e-4)
    for _ in range(30):
        optimizer.zero_grad()
        distance().backward()
        optimizer.step()
    assert float(distance().detach()) < 0.65 * before


def test_exceptions_stay_float_or_have_other_bits():
    layer_bits = {"<first>": "float", "head.*": 16, "up.0.*": 4}
    net = quantize(network("resnet_6blocks"), QuantizationOptions(layer_bits=layer_bits))
    layers = quantized_layers(net)
    assert "stem.conv" not in layers
    assert layers["head.conv"].weight_quantizer.bits == layers["head.conv"].input_quantizer.bits == 16
    assert layers["up.0.conv"].weight_quantizer.bits == 4
    assert layers["up.1.conv"].weight_quantizer.bits == 8


def test_the_image_is_left_as_it_is_unless_asked_for():
    for image in (False, True):
        layers = quantized_layers(quantize(network("unet"), QuantizationOptions(image=image)))
        assert (layers["down.0.conv"].input_quantizer is not None) == image
        assert layers["down.1.conv"].input_quantizer is not None


def test_gan_slimming_has_one_scale_for_a_weight_and_cuts_activations():
    net, photos = network("resnet_6blocks"), images("resnet_6blocks")
    quantize(net, QuantizationOptions(scheme="gan_slimming"))
    seen = {}
    for path, layer in quantized_layers(net).items():
        if layer.input_quantizer is not None:
            layer.input_quantizer.register_forward_hook(lambda _, __, out, path=path: seen.update({path: out}))
    net(photos)
    assert set(seen) == set(quantized_layers(net)) - {"stem.conv"}
    assert all(values.min() >= 0 and values.max() <= 4 for values in seen.values())
    weight = net.stem.conv.weight
    largest = weight.abs().max()
    got = net.stem.conv.weight_quantizer(weight)
    assert torch.allclose(got, (weight / (largest / 127)).round() * (largest / 127), atol=1e-6)


def test_options_that_gan_slimming_fixes_are_refused():
    with pytest.raises(ConfigError, match="scheme gan_slimming fixes weight_bits"):
        QuantizationOptions(scheme="gan_slimming", weight_bits=4)
    with pytest.raises(ConfigError, match=r"scheme gan_slimming fixes layer_bits\.head\.conv"):
        QuantizationOptions(scheme="gan_slimming", layer_bits={"head.conv": 16})
    with pytest.raises(ConfigError, match="weight_bits"):
        QuantizationOptions(weight_bits=1)


def test_what_cannot_be_quantized_is_said():
    with pytest.raises(ConfigError, match="ReLU has none of the layers"):
        quantize(nn.ReLU(), QuantizationOptions())
    net = network("unet")
    with pytest.raises(ConfigError, match=r"no layer 'head\.con'.*did you mean 'head\.conv'"):
        quantize(net, QuantizationOptions(layer_bits={"head.con": "float"}))
    quantize(net, QuantizationOptions())
    with pytest.raises(ConfigError, match="quantized already"):
        quantize(net, QuantizationOptions())


def test_subclasses_of_layers_stay_float():
    class Scaled(nn.Conv2d):
        pass

    net = nn.Sequential(Scaled(3, 3, 1), nn.Conv2d(3, 3, 1))
    assert list(quantizable_layers(net)) == ["1"]


def test_a_subnetwork_is_quantized_by_its_structure():
    net, photos = network("resnet_6blocks"), images("resnet_6blocks")
    graph = trace(net, [photos])
    plan = graph.uniform_plan(0.5)
    sub = SubNetwork(net, graph, plan)
    quantize(sub.structure, WEIGHTS_ONLY)
    narrow = quantize(materialise(net, graph, plan), WEIGHTS_ONLY)
    got = sub(photos)
    assert torch.equal(got, narrow(photos))
    got.mean().backward()
    assert net.stem.conv.weight.grad is not None
    assert net.stem.conv.weight.grad.any()
    assert not quantized_layers(net)
