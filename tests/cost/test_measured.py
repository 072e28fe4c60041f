"""Expected values are closed formulas, written out here, or sums of bytes made by hand."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gancompress.cost.conventions import Macs
from gancompress.cost.measured import measure

N, H, W = 2, 8, 12


class Call(nn.Module):
    """A function with submodules."""

    def __init__(self, function, **parts: nn.Module) -> None:
        super().__init__()
        self.function = function
        for name, part in parts.items():
            self.add_module(name, part)

    def forward(self, *inputs: Tensor):
        return self.function(self, *inputs)


def images(channels: int = 4) -> Tensor:
    return torch.ones(N, channels, H, W)


def cheap(elements: int) -> Macs:
    return Macs(0, 0, elements)


def both(macs: int) -> Macs:
    return Macs(macs, macs, 0)


LAYERS = {
    "convolution": (nn.Conv2d(4, 6, 3, padding=1), images(), both(N * H * W * 6 * 4 * 9)),
    "strided": (nn.Conv2d(4, 6, 4, 2, 1), images(), both(N * (H // 2) * (W // 2) * 6 * 4 * 16)),
    "grouped": (nn.Conv2d(4, 6, (1, 3), groups=2), images(), both(N * H * (W - 2) * 6 * 2 * 3)),
    "depthwise": (nn.Conv2d(4, 4, 3, padding=1, groups=4), images(), both(N * H * W * 4 * 9)),
    "1-D": (nn.Conv1d(4, 5, 3), torch.ones(N, 4, 10), both(N * 8 * 5 * 4 * 3)),
    "3-D": (nn.Conv3d(2, 3, 2), torch.ones(N, 2, 4, 4, 4), both(N * 27 * 3 * 2 * 8)),
    "without a batch": (nn.Conv2d(4, 6, 1), images()[0], both(H * W * 6 * 4)),
    "transposed": (
        nn.ConvTranspose2d(4, 6, 3, 2, 1, 1),
        images(),
        Macs(N * H * W * 4 * 6 * 9, N * 2 * H * 2 * W * 4 * 6 * 9, 0),
    ),
    "transposed, odd size": (
        nn.ConvTranspose2d(4, 6, 4, 2, 1, groups=2),
        torch.ones(N, 4, 5, 3),
        Macs(N * 5 * 3 * 4 * 3 * 16, N * 10 * 6 * 2 * 6 * 16, 0),
    ),
    "transposed 1-D": (nn.ConvTranspose1d(4, 2, 3), torch.ones(N, 4, 5), Macs(N * 5 * 24, N * 7 * 24, 0)),
    "linear": (nn.Linear(5, 7), torch.ones(N, 5), both(N * 5 * 7)),
    "linear on a sequence": (nn.Linear(5, 7, bias=False), torch.ones(N, 3, 5), both(N * 3 * 5 * 7)),
    "instance norm": (nn.InstanceNorm2d(4), images(), cheap(N * 4 * H * W)),
    "affine instance norm": (nn.InstanceNorm2d(4, affine=True), images(), cheap(N * 4 * H * W)),
    "batch norm": (nn.BatchNorm2d(4), images(), cheap(N * 4 * H * W)),
    "plain batch norm": (nn.BatchNorm2d(4, affine=False), images(), cheap(0)),
    "group norm": (nn.GroupNorm(2, 4), images(), cheap(N * 4 * H * W)),
    "plain layer norm": (nn.LayerNorm(W, elementwise_affine=False), images(), cheap(0)),
    "leaky relu": (nn.LeakyReLU(0.2), images(), cheap(N * 4 * H * W)),
    "leaky relu in place": (nn.LeakyReLU(0.2, inplace=True), images(), cheap(N * 4 * H * W)),
    "average pooling": (nn.AvgPool2d(2), images(), cheap(N * 4 * (H // 2) * (W // 2))),
    "adaptive pooling": (nn.AdaptiveAvgPool2d(2), images(), cheap(N * 4 * 4)),
    "adaptive pooling to 1": (nn.AdaptiveAvgPool2d(1), images(), cheap(N * 4)),
    "bilinear": (nn.Upsample(scale_factor=2, mode="bilinear"), images(), cheap(4 * N * 4 * 4 * H * W)),
    "functional bilinear": (
        Call(lambda _, x: F.interpolate(x, size=(3, 5), mode="bilinear")),
        images(),
        cheap(4 * N * 4 * 3 * 5),
    ),
    "product": (Call(lambda _, x: x * x[:, :1]), images(), cheap(N * 4 * H * W)),
    "product in place": (Call(lambda _, x: x.clone().mul_(x)), images(), cheap(N * 4 * H * W)),
    "scaled by a number": (Call(lambda _, x: 2 * x * 0.5), images(), cheap(0)),
    "free": (
        nn.Sequential(nn.ReflectionPad2d(1), nn.PReLU(), nn.Tanh(), nn.Upsample(scale_factor=2)),
        images(),
        cheap(0),
    ),
}


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_costs_its_closed_form(name):
    layer, inputs, expected = LAYERS[name]
    cost = measure(layer, (inputs,))
    assert cost.macs == expected
    assert cost.uncounted == ()


def test_nothing_is_counted_twice_in_a_network():
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, padding_mode="reflect"),
        nn.InstanceNorm2d(8),
        nn.LeakyReLU(0.2),
        nn.ConvTranspose2d(8, 3, 2, 2),
    )
    cost = measure(net, (images(3),))
    pixels = N * H * W
    assert cost.macs == Macs(
        true=pixels * (8 * 3 * 9 + 8 * 3 * 4),
        outsize=pixels * (8 * 3 * 9 + 4 * 8 * 3 * 4),
        cheap_layers=2 * pixels * 8,
    )
    assert [(layer.path, layer.type) for layer in cost.layers] == [
        ("0", "Conv2d"),
        ("1", "InstanceNorm2d"),
        ("2", "leaky_relu"),
        ("3", "ConvTranspose2d"),
    ]
    assert sum((layer.macs for layer in cost.layers), Macs(0, 0, 0)) == cost.macs
    assert sum(layer.parameters for layer in cost.layers) == cost.parameters
    assert cost.layers[-1].output_shape == (N, 3, 2 * H, 2 * W)


def test_a_layer_called_twice_costs_twice_and_holds_its_parameters_once():
    net = Call(lambda net, x: net.conv(net.conv(x)), conv=nn.Conv2d(4, 4, 1))
    cost = measure(net, (images(),))
    assert cost.macs.true == 2 * N * H * W * 16
    assert [layer.parameters for layer in cost.layers] == [20, 0]
    assert cost.parameters == 20


def test_shared_frozen_and_double_parameters():
    first, second = nn.Linear(4, 4, bias=False), nn.Linear(4, 4)
    second.weight = first.weight
    frozen = nn.Linear(4, 2, bias=False).requires_grad_(False)
    cost = measure(nn.Sequential(first, second, frozen).double(), (torch.ones(1, 4).double(),))
    assert cost.parameters == 16 + 4 + 8
    assert cost.parameter_bytes == 8 * (16 + 4 + 8)


def test_a_narrowed_weight_is_believed_more_than_the_attributes():
    conv = nn.ConvTranspose2d(8, 6, 2, 2)
    conv.weight = nn.Parameter(conv.weight[:4].detach())
    assert measure(conv, (images(),)).macs.true == N * H * W * 4 * 6 * 4


@pytest.mark.parametrize("norm", [nn.utils.parametrizations.spectral_norm, nn.utils.parametrizations.weight_norm])
def test_a_parametrised_layer_counts_as_the_layer_that_it_is(norm):
    cost = measure(nn.Sequential(norm(nn.Conv2d(4, 6, 3, padding=1))), (images(),))
    assert cost.macs == LAYERS["convolution"][2]
    assert cost.uncounted == ()


class Modulated(nn.Module):
    """Holds a weight of its own and uses it by a function."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(4, 4, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight)


@torch.library.custom_op("gancompress_tests::twice", mutates_args=())
def twice(x: Tensor) -> Tensor:
    return x + x


UNCOUNTED = {
    "functional convolution": (
        nn.Sequential(nn.Tanh(), Modulated()),
        (images(),),
        [
            "1: Modulated holds 16 parameters and has no counting rule",
            "1: aten.convolution outside a known layer",
        ],
    ),
    "weight of a known layer": (
        Call(lambda net, x: F.linear(x, net.fc.weight) + net.fc(x), fc=nn.Linear(W, W)),
        (images(),),
        ["(root): aten.mm outside a known layer"],
    ),
    "product of matrices, twice": (
        Call(lambda _, x: x @ x @ x),
        (torch.ones(3, 4, 4),),
        ["(root): aten.bmm outside a known layer"],
    ),
    "constant": (
        Call(lambda net, x: x + net.constant[0], constant=nn.ParameterList([torch.ones(3)])),
        (torch.ones(3),),
        ["constant: ParameterList holds 3 parameters and has no counting rule"],
    ),
    "attention": (
        Call(lambda _, x: F.scaled_dot_product_attention(x, x, x)),
        (torch.ones(1, 2, 4, 4),),
        ["(root): aten._scaled_dot_product_flash_attention_for_cpu outside a known layer"],
    ),
    "recurrent": (
        Call(lambda net, x: net.rnn(x)[0], rnn=nn.GRU(4, 4)),
        (torch.ones(3, 1, 4),),
        ["rnn: GRU holds 120 parameters and has no counting rule", "rnn: aten.addmm outside a known layer"],
    ),
    "functional norm": (
        Call(lambda _, x: F.instance_norm(x)),
        (images(),),
        ["(root): aten.native_batch_norm outside a known layer"],
    ),
    "custom operator": (
        Call(lambda _, x: twice(x)),
        (images(),),
        ["(root): gancompress_tests.twice outside a known layer"],
    ),
}


@pytest.mark.parametrize("name", UNCOUNTED)
def test_what_is_not_counted_is_named(name):
    module, inputs, expected = UNCOUNTED[name]
    assert list(measure(module, inputs).uncounted) == expected


@pytest.mark.parametrize("name", LAYERS)
def test_inference_mode_changes_nothing(name):
    layer, inputs, expected = LAYERS[name]
    with torch.inference_mode():
        assert measure(layer, (inputs.clone(),)).macs == expected


def test_the_module_is_left_as_it_was():
    net = nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4), nn.Dropout())
    net[1].eval()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    measure(net, (images(),))
    assert [part.training for part in net.modules()] == [True, True, False, True]
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in net.modules())


def test_an_error_passes_and_leaves_no_hooks():
    net = nn.Sequential(nn.Conv2d(4, 4, 1), nn.Linear(5, 5))
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        measure(net, (images(),))
    assert net[0].training
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in net.modules())


# Bytes of a map of c channels at full size; the root's input stays alive, for the caller holds it.
def bytes_of(channels: int) -> int:
    return 4 * N * H * W * channels


def test_peak_of_a_chain():
    conv = lambda given, made: nn.Conv2d(given, made, 3, padding=1)  # noqa: E731
    in_place = nn.Sequential(conv(3, 8), nn.ReLU(inplace=True), conv(8, 4), nn.ReLU(inplace=True), conv(4, 3))
    assert measure(in_place, (images(3),)).peak_activation_bytes == bytes_of(3 + 8 + 4)
    copies = nn.Sequential(conv(3, 8), nn.ReLU(), conv(8, 4), nn.ReLU(), conv(4, 3))
    assert measure(copies, (images(3),)).peak_activation_bytes == bytes_of(3 + 8 + 8)


def test_peak_of_a_skip_connection():
    def skip(net: Call, x: Tensor) -> Tensor:
        kept = net.first(x)
        inner = net.last(net.wide(kept))  # the wide map dies when the last has run
        return torch.cat([kept, inner], dim=1)

    net = Call(skip, first=nn.Conv2d(3, 4, 1), wide=nn.Conv2d(4, 6, 1), last=nn.Conv2d(6, 2, 1))
    assert measure(net, (images(3),)).peak_activation_bytes == bytes_of(3 + max(4 + 6 + 2, 4 + 2 + 6))
    net = Call(skip, first=nn.Conv2d(3, 8, 1), wide=nn.Conv2d(8, 6, 1), last=nn.Conv2d(6, 2, 1))
    assert measure(net, (images(3),)).peak_activation_bytes == bytes_of(3 + max(8 + 6 + 2, 8 + 2 + 10))


def test_peak_counts_views_and_inputs_once_and_no_buffers():
    norm = nn.BatchNorm2d(4, affine=False)
    assert measure(norm, (images(),)).peak_activation_bytes == bytes_of(4 + 4)
    views = Call(lambda _, x, y: x.view(N, -1)[:, 1:].t() + 0 * y.reshape(-1)[:1])
    x = images()
    small = 4 + 4 * N * (4 * H * W - 1)  # the product of one element, and the sum
    assert measure(views, (x, x)).peak_activation_bytes == bytes_of(4) + small


def test_meta_tensors_measure_like_real_ones():
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.ConvTranspose2d(8, 3, 4, 2, 1))
    real = measure(net, (images(3),))
    assert measure(net.to("meta"), (images(3).to("meta"),)) == real
