import json

import pytest
import torch

from gancompress.errors import CheckpointError, ConfigError
from gancompress.quantization import Quantization, QuantizationOptions, calibrate, quantize
from gancompress.quantization.quantization import OPTIONS_FILE, RANGES_FILE
from tests.quantization.networks import images, network


@pytest.mark.parametrize(
    "options",
    [
        QuantizationOptions(weight_bits=4, outputs=True, layer_bits={"<first>": "float", "head.conv": 16}),
        QuantizationOptions(ranges="learned", activation_bits=5),
        QuantizationOptions(activation_bits=None),
        QuantizationOptions(scheme="gan_slimming"),
    ],
    ids=["observed", "learned", "weights", "paper"],
)
def test_a_network_is_quantized_again_as_it_was(options, tmp_path):
    net, photos = network("unet"), images("unet")
    weights = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    quantize(net, options)
    calibrate(net, [photos], min_images=1)
    Quantization.of(net, options).save(tmp_path / "net")

    other = network("unet")
    other.load_state_dict(weights)
    loaded = Quantization.load(tmp_path / "net")
    assert loaded is not None
    assert loaded.options == options
    assert torch.equal(loaded.attach(other)(photos), net(photos))


def test_a_value_does_not_follow_the_network():
    net = quantize(network("unet"), QuantizationOptions())
    calibrate(net, [images("unet")], min_images=1)
    value = Quantization.of(net, QuantizationOptions())
    before = {name: tensor.clone() for name, tensor in value.ranges.items()}
    calibrate(net, [3 * images("unet")], min_images=1)
    assert before
    assert all(torch.equal(value.ranges[name], tensor) for name, tensor in before.items())


def test_stale_ranges_do_not_stay(tmp_path):
    for options in (QuantizationOptions(), QuantizationOptions(activation_bits=None)):
        net = quantize(network("unet"), options)
        calibrate(net, [images("unet")], min_images=1)
        Quantization.of(net, options).save(tmp_path)
    assert not (tmp_path / RANGES_FILE).exists()


def test_a_float_network_has_none(tmp_path):
    assert Quantization.load(tmp_path) is None


def test_files_that_do_not_fit_are_refused(tmp_path):
    net = quantize(network("unet"), QuantizationOptions())
    Quantization.of(net, QuantizationOptions()).save(tmp_path)
    loaded = Quantization.load(tmp_path)
    assert loaded is not None
    with pytest.raises(ConfigError, match=r"the ranges do not fit the network: .*missing"):
        loaded.attach(network("resnet_6blocks"))

    description = json.loads((tmp_path / OPTIONS_FILE).read_text())
    for changes, message in (
        ({"version": 1}, "got format version 1, expected 2"),
        ({"format": "other"}, "found no"),
        ({"options": {"weight_bits": 40}}, "options: weight_bits"),
    ):
        (tmp_path / OPTIONS_FILE).write_text(json.dumps({**description, **changes}))
        with pytest.raises(CheckpointError, match=message):
            Quantization.load(tmp_path)
    (tmp_path / OPTIONS_FILE).write_text("{")
    with pytest.raises(CheckpointError, match="invalid JSON"):
        Quantization.load(tmp_path)
