import json

import pytest
import torch

from gancompress.errors import CheckpointError
from gancompress.quantization import QuantizationOptions, calibrate, load_quantization, quantize, save_quantization
from gancompress.quantization.range_files import OPTIONS_FILE, RANGES_FILE
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
    save_quantization(net, options, tmp_path / "net")

    other = network("unet")
    other.load_state_dict(weights)
    assert load_quantization(other, tmp_path / "net") == options
    assert torch.equal(other(photos), net(photos))


def test_stale_ranges_do_not_stay(tmp_path):
    for options in (QuantizationOptions(), QuantizationOptions(activation_bits=None)):
        net = quantize(network("unet"), options)
        calibrate(net, [images("unet")], min_images=1)
        save_quantization(net, options, tmp_path)
    assert not (tmp_path / RANGES_FILE).exists()


def test_files_that_do_not_fit_are_refused(tmp_path):
    with pytest.raises(CheckpointError, match=r"quantization\.json: found no such file"):
        load_quantization(network("unet"), tmp_path)

    net = quantize(network("unet"), QuantizationOptions())
    save_quantization(net, QuantizationOptions(), tmp_path)
    with pytest.raises(CheckpointError, match=r"ranges\.safetensors: the ranges do not fit the network: .*missing"):
        load_quantization(network("resnet_6blocks"), tmp_path)

    description = json.loads((tmp_path / OPTIONS_FILE).read_text())
    for changes, message in (
        ({"version": 2}, "got format version 2, expected 1"),
        ({"format": "other"}, "found no"),
        ({"options": {"weight_bits": 40}}, "does not fit the network: weight_bits"),
        ({"options": {"layer_bits": {"stem.conv": 4}}}, "does not fit the network: layer_bits: no layer"),
    ):
        (tmp_path / OPTIONS_FILE).write_text(json.dumps({**description, **changes}))
        with pytest.raises(CheckpointError, match=message):
            load_quantization(network("unet"), tmp_path)
    (tmp_path / OPTIONS_FILE).write_text("{")
    with pytest.raises(CheckpointError, match="invalid JSON"):
        load_quantization(network("unet"), tmp_path)
