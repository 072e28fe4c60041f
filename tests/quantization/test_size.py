import pytest
import torch
from torch import nn

from gancompress.channels import materialise, trace
from gancompress.cost import widest_plan
from gancompress.errors import ConfigError
from gancompress.quantization import QuantizationOptions, QuantizedSize, quantizable_layers, quantize, weight_bytes
from gancompress.quantization.layers import QuantizedLayer
from gancompress.quantization.ranges import ActivationQuantizer
from tests.quantization.networks import FAMILIES, images, network


def counted(net: nn.Module) -> int:
    """Bytes of a quantized network, from its own tensors."""
    total = 0
    for module in net.modules():
        if isinstance(module, ActivationQuantizer):
            continue
        for name, tensor in (*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)):
            if isinstance(module, QuantizedLayer) and name == "weight":
                quantizer = module.weight_quantizer
                total += -(-tensor.numel() * quantizer.bits // 8) + 4 * quantizer.grid(tensor).scale.numel()
            elif tensor.is_floating_point():
                total += 4 * tensor.numel()
    return total


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"weight_bits": 3},
        {"weight_bits": 16},
        {"scheme": "gan_slimming"},
        {"layer_bits": {"<first>": "float", "<last>": 12}},
    ],
    ids=str,
)
def test_the_closed_form_counts_what_the_narrow_network_holds(family, options):
    net = network(family)
    graph = trace(net, [images(family)])
    options = QuantizationOptions(**options)
    size = QuantizedSize(graph, options)
    for keep in (1.0, 0.5, 0.3):
        plan = graph.uniform_plan(keep)
        assert size.at(plan) == counted(quantize(materialise(net, graph, plan), options))


def test_a_dense_network_of_eight_bits_is_its_weights_scales_and_biases():
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.InstanceNorm2d(8, affine=True), nn.ConvTranspose2d(8, 5, 4))
    graph = trace(net, [torch.zeros(1, 3, 8, 8)])
    weights, scales, floats = 3 * 8 * 9 + 8 * 5 * 16, 8 + 5, 8 + 2 * 8 + 5
    assert weight_bytes(graph, graph.full_plan(), 8) == weights + 4 * scales + 4 * floats
    assert weight_bytes(graph, graph.full_plan(), 4) == weights // 2 + 4 * scales + 4 * floats


def test_a_budget_in_bytes_chooses_a_plan():
    net = network("resnet_6blocks")
    graph = trace(net, [images("resnet_6blocks")])
    size = QuantizedSize(graph, QuantizationOptions())
    full = size.at(graph.full_plan())
    plan = widest_plan(graph, size.at, full / 3, unit="bytes")
    assert full / 4 < size.at(plan) <= full / 3


def test_every_quantizable_layer_is_found():
    net = network("resnet")
    graph = trace(net, [images("resnet")])
    with pytest.raises(ConfigError, match="no layer 'nothing'"):
        QuantizedSize(graph, QuantizationOptions(layer_bits={"nothing": 4}))
    everything_float = QuantizedSize(
        graph, QuantizationOptions(layer_bits=dict.fromkeys(quantizable_layers(net), "float"))
    )
    assert everything_float.at(graph.full_plan()) == 4 * sum(p.numel() for p in net.parameters())
