import pytest
import torch
from torch import nn

from gancompress.errors import ConfigError, DataError
from gancompress.quantization import (
    QuantizationOptions,
    calibrate,
    centre_ranges,
    quantize,
    quantized_layers,
    ranges_of,
)
from tests.quantization.networks import images, network

MINMAX = QuantizationOptions(ranges="minmax", image=True)


def test_ranges_are_those_of_the_float_network():
    net, photos = network("unet"), images("unet", 16)
    seen = {}
    handles = [
        layer.register_forward_pre_hook(lambda _, args, path=path: seen.setdefault(path, []).append(args[0].detach()))
        for path, layer in net.named_modules()
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)
    ]
    net(photos)
    for handle in handles:
        handle.remove()
    quantize(net, MINMAX)
    calibrate(net, photos.split(4))
    for path, layer in quantized_layers(net).items():
        lower, upper = layer.input_quantizer.bounds()
        [values] = seen[path]
        assert float(lower) == pytest.approx(float(values.min()), abs=1e-5)
        assert float(upper) == pytest.approx(float(values.max()), abs=1e-5)


@pytest.mark.parametrize("ranges", ["minmax", "percentile", "mse", "learned"])
def test_every_kind_of_range_can_be_calibrated_anew(ranges):
    net, photos = network("resnet_6blocks"), images("resnet_6blocks", 16)
    quantize(net.train(), QuantizationOptions(ranges=ranges))
    calibrate(net, [photos])
    first = {name: tensor.clone() for name, tensor in ranges_of(net).items()}
    calibrate(net, [photos / 2])
    calibrate(net, [photos])
    assert all(torch.equal(tensor, first[name]) for name, tensor in ranges_of(net).items())
    assert net.training
    assert all(layer.mode == "quantize" for layer in quantized_layers(net).values())


def test_too_few_images_are_refused_and_the_ranges_stay():
    net, photos = network("unet"), images("unet", 16)
    quantize(net, MINMAX)
    calibrate(net, [photos])
    before = {name: tensor.clone() for name, tensor in ranges_of(net).items()}
    with pytest.raises(DataError, match="calibrate: got 3 images, expected at least 16; give more"):
        calibrate(net, [photos[:2] / 2, photos[2:3] / 2])
    assert all(torch.equal(tensor, before[name]) for name, tensor in ranges_of(net).items())


def test_centred_ranges_have_0_in_the_middle_unless_they_begin_there():
    net = nn.Sequential(nn.ConvTranspose2d(3, 4, 2), nn.Conv2d(4, 4, 2), nn.ReLU(), nn.ConvTranspose2d(4, 3, 2))
    quantize(net, MINMAX)
    calibrate(net, [torch.rand(16, 3, 8, 8) * 3 - 1])
    before = {path: layer.input_quantizer.grid() for path, layer in quantized_layers(net).items()}
    centre_ranges(net, (nn.ConvTranspose2d,))
    after = {path: layer.input_quantizer.grid() for path, layer in quantized_layers(net).items()}
    assert after["1"] == before["1"]
    assert after["3"] == before["3"]
    assert (int(before["3"].zero_point), int(after["0"].zero_point)) == (0, 128)
    lower, upper = quantized_layers(net)["0"].input_quantizer.bounds()
    assert float(upper) == pytest.approx(2, abs=0.01)  # the farther end, as it was
    assert float(lower) == pytest.approx(-2 * 128 / 127, abs=0.01)


def test_a_float_network_is_refused():
    with pytest.raises(ConfigError, match="not quantized; quantize it first"):
        calibrate(network("unet"), [images("unet")])


def test_networks_of_several_inputs():
    class Sum(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two = nn.Conv2d(1, 1, 1), nn.Conv2d(1, 1, 1)

        def forward(self, a, b):
            return self.one(a) + self.two(b)

    net = quantize(Sum(), MINMAX)
    calibrate(net, [(torch.full((2, 1, 1, 1), 3.0), torch.full((2, 1, 1, 1), -2.0))], min_images=2)
    assert float(net.one.input_quantizer.upper) == 3
    assert float(net.two.input_quantizer.lower) == -2
