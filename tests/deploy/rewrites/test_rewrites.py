"""Every rewrite computes what the network computed, in every family, and says what it changed."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from gancompress.deploy.rewrites import REWRITES, Change, rewritten
from gancompress.errors import ConfigError
from gancompress.networks.registry import FAMILIES, build

SMALL = {
    "resnet": {"num_blocks": 1},
    "unet": {"num_downs": 5},
    "spade": {"upsampling": "normal", "in_channels": 5},
    "rrdbnet": {"num_blocks": 1, "growth": 5},
}
SIZES = {"unet_128": 128, "unet_256": 256}

# How many layers of each family each rewrite changes, where it is not none.
EXPECTED = {
    "folded_batch_norms": {
        **{"unet_128": 11, "unet_256": 13, "unet": 7, "sngan_32": 3, "sngan_64": 4, "sngan": 3},
        **{"spade": 7, "mobile_spade": 7},
    },
    "even_transposed_convolutions": {"unet_128": 7, "unet_256": 8, "unet": 5},
    "odd_transposed_convolutions": dict.fromkeys(
        ("resnet_6blocks", "resnet_9blocks", "mobile_resnet_6blocks", "mobile_resnet_9blocks", "resnet", "cartoongan"),
        2,
    ),
    "strided_last_convolution": dict.fromkeys(
        ("resnet_6blocks", "resnet_9blocks", "mobile_resnet_6blocks", "mobile_resnet_9blocks", "resnet", "cartoongan"),
        1,
    ),
    "sliced_reflection": {
        "resnet_6blocks": 14,
        "resnet_9blocks": 20,
        "mobile_resnet_6blocks": 14,
        "mobile_resnet_9blocks": 20,
        "resnet": 4,
        "cartoongan": 18,
    },
}
NORMS = {
    "resnet_6blocks": 17,
    "resnet_9blocks": 23,
    "mobile_resnet_6blocks": 29,
    "mobile_resnet_9blocks": 41,
    "resnet": 7,
    "cartoongan": 21,
    "mobile_spade": 36,
}
EXPECTED |= {"float32_norms": NORMS, "decomposed_norms": NORMS}
EXPECTED |= {"relu_prelus": {"srvggnet_compact": 17}, "rank4_shuffles": {"srvggnet_compact": 1}}
GENERATORS = sorted(name for name, family in FAMILIES.items() if family.role == "generator")


def network(family: str) -> tuple[nn.Module, torch.Tensor]:
    """A generator whose norms have seen something, and an input of it."""
    narrow = {"resolution": 32, "channel_max": 5, "latent_size": 8, "num_mapping_layers": 2}
    base = narrow if family == "stylegan2" else {FAMILIES[family].config_type.base_width: 5}
    config = {**base, **SMALL.get(family.removeprefix("mobile_"), {})}
    net = build(family, config).eval()
    with torch.no_grad():
        for name, tensor in net.state_dict().items():
            if "running_var" in name or name.endswith("norm.weight"):
                tensor.uniform_(0.5, 1.5)
            elif tensor.is_floating_point() and tensor.dim() == 1:
                tensor.uniform_(-0.5, 0.5)
            elif tensor.is_floating_point() and tensor.dim() > 1:
                tensor.normal_(0, (2 / max(1, tensor[0].numel())) ** 0.5)
    size = SIZES.get(family, 64 if "spade" in family else 32)
    (example,) = FAMILIES[family].architecture(config).example_inputs((size, size))
    return net.double(), torch.rand((2, *example.shape[1:]), dtype=torch.float64) * 2 - 1


def not_aligned(layer: nn.Module) -> bool:
    """Whether integer kernels want other numbers of channels of a layer, and it is no large kernel over an image."""
    if type(layer) is not nn.Conv2d or layer.groups > 1 or (layer.in_channels <= 4 and layer.kernel_size[0] >= 5):
        return False
    return layer.in_channels % 4 != 0 or layer.out_channels % 16 != 0


@pytest.mark.parametrize("rewrite", REWRITES)
@pytest.mark.parametrize("family", GENERATORS)
@torch.no_grad()
def test_the_image_stays_and_the_changes_are_told(family, rewrite):
    net, inputs = network(family)
    image = net(inputs)
    small, (change,) = rewritten(net, [rewrite], shares=True)
    assert change.rewrite == rewrite
    odd = sum(not_aligned(layer) for layer in net.modules()) if rewrite == "aligned_channels" else 0
    assert len(change.layers) == EXPECTED.get(rewrite, {}).get(family, odd), change
    assert change.note == ""
    assert image.std() > 0.01
    # A norm of a nearly constant map, as a label map's are, makes much of the rounding to float32.
    rounding = 2e-2 if family == "mobile_spade" else 1e-4
    tolerance = rounding if rewrite == "float32_norms" else 1e-9
    torch.testing.assert_close(small(inputs), image, rtol=0, atol=tolerance)
    torch.testing.assert_close(net(inputs), image, rtol=0, atol=0)  # the network itself stays as it was


@pytest.mark.parametrize("family", ["resnet_6blocks", "unet_128", "cartoongan", "sngan_32"])
@torch.no_grad()
def test_all_together(family):
    net, inputs = network(family)
    small, changes = rewritten(net, list(REWRITES))
    assert [change.rewrite for change in changes] == list(REWRITES)
    kinds = {type(layer) for layer in small.modules()}
    assert not kinds & {nn.ConvTranspose2d, nn.InstanceNorm2d, nn.ReflectionPad2d}
    assert all(layer.padding_mode == "zeros" for layer in small.modules() if isinstance(layer, nn.Conv2d))
    torch.testing.assert_close(small(inputs), net(inputs), rtol=0, atol=2e-5)


class RankOfOperators(TorchDispatchMode):
    """The largest number of axes of a tensor that an operator returns."""

    most = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        ranks = [each.dim() for each in tree_leaves(result) if isinstance(each, Tensor)]
        self.most = max([self.most, *ranks])
        return result


@pytest.mark.parametrize("block", [1, 2, 3, 4])
@torch.no_grad()
def test_shuffles_of_four_axes_have_the_same_bits(block):
    net, values = nn.Sequential(nn.PixelShuffle(block)), torch.randn(2, 3 * block**2, 5, 7)
    changed, (change,) = rewritten(net, ["rank4_shuffles"])
    assert change.layers == ("0",)
    with RankOfOperators() as seen:
        assert changed(values).equal(net(values))
    assert seen.most == 4


@pytest.mark.parametrize(("slopes", "shape"), [(1, (2, 6, 5, 7)), (6, (2, 6, 5, 7)), (6, (2, 6, 9)), (6, (2, 6))])
@torch.no_grad()
def test_two_relus_have_the_same_bits(slopes, shape):
    net, values = nn.Sequential(nn.PReLU(slopes)), torch.randn(shape)
    net[0].weight.normal_()
    changed, (change,) = rewritten(net, ["relu_prelus"])
    assert change.layers == ("0",)
    assert not any(isinstance(layer, nn.PReLU) for layer in changed.modules())
    assert changed(values).equal(net(values))


@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "extra"), [(3, 2, 1, 1), (4, 2, 1, 0), (2, 2, 0, 0), (5, 2, 2, 1), (6, 3, 2, 1)]
)
@torch.no_grad()
def test_transposed_convolutions_of_every_shape(kernel, stride, padding, extra):
    layer = nn.ConvTranspose2d(5, 3, kernel, stride, padding, extra)
    net, values = nn.Sequential(layer), torch.randn(2, 5, 7, 9)
    even = kernel % stride == 0
    changed, changes = rewritten(net, ["even_transposed_convolutions", "odd_transposed_convolutions"])
    assert [change.layers for change in changes] == ([("0",), ()] if even else [(), ("0",)])
    torch.testing.assert_close(changed(values), net(values), rtol=0, atol=1e-6)
    taps = changed[0].conv.weight.numel() / layer.weight.numel()
    assert taps == (stride * -(-(kernel + (0 if even else -padding % stride)) // stride) / kernel) ** 2


@pytest.mark.parametrize(
    "layer",
    [
        nn.ConvTranspose2d(4, 4, 3, 2, 1, 0),  # not twice the size
        nn.ConvTranspose2d(4, 4, 4, 2, 1, groups=2),
        nn.ConvTranspose2d(4, 4, 3, 1, 1),
        nn.ConvTranspose2d(4, 4, (4, 2), 2, (1, 0)),
        nn.Conv2d(4, 3, 7),  # gets smaller
        nn.Conv2d(4, 3, 7, 2, 3),
        nn.Conv2d(4, 8, 7, 1, 3),
    ],
)
def test_other_layers_stay(layer):
    net, changes = rewritten(nn.Sequential(layer), [name for name in REWRITES if "convolution" in name])
    assert type(net[0]) is type(layer)
    assert all(change.layers == () for change in changes)


@pytest.mark.parametrize("mode", ["zeros", "reflect", "replicate", "circular"])
@pytest.mark.parametrize("kernel", [5, 7])
@torch.no_grad()
def test_the_last_convolution_with_any_padding(mode, kernel):
    net = nn.Sequential(nn.Conv2d(6, 3, kernel, padding=kernel // 2, padding_mode=mode))
    values = torch.randn(2, 6, 10, 14)
    changed, (change,) = rewritten(net, ["strided_last_convolution"])
    assert change.layers == ("0",)
    torch.testing.assert_close(changed(values), net(values), rtol=0, atol=2e-6)


@torch.no_grad()
def test_reflection_with_different_sides():
    net = nn.Sequential(nn.ReflectionPad2d((3, 1, 0, 2)), nn.Conv2d(2, 2, 3, padding=(0, 2), padding_mode="reflect"))
    values = torch.randn(1, 2, 5, 6)
    changed, (change,) = rewritten(net, ["sliced_reflection"])
    assert change.layers == ("0", "1")
    torch.testing.assert_close(changed(values), net(values), rtol=0, atol=0)


@torch.no_grad()
def test_half_precision_norms_keep_their_statistics():
    net = nn.Sequential(nn.InstanceNorm2d(3, affine=True))
    values = 2e4 + 4e3 * torch.randn(1, 3, 64, 64)  # squares and sums are far outside of half precision
    safe, _ = rewritten(net, ["float32_norms"])
    naive, _ = rewritten(net, ["decomposed_norms"])
    expected = net(values.half().float())
    torch.testing.assert_close(safe.half()(values.half()).float(), expected, rtol=0, atol=4e-3)
    assert not torch.allclose(naive.half()(values.half()).float(), expected, atol=0.1)


@torch.no_grad()
def test_spectral_norm_is_folded_and_batch_norm_behind_it():
    conv = parametrizations.spectral_norm(nn.Conv2d(3, 4, 3))
    net = nn.Sequential(conv, nn.BatchNorm2d(4), nn.ReLU())
    for _ in range(3):
        net(torch.randn(2, 3, 8, 8))
    net.eval()
    changed, (spectral, batch) = rewritten(net, ["folded_batch_norms", "folded_spectral_norms"])
    assert (spectral.layers, batch.layers) == (("0",), ("1",))
    assert set(changed.state_dict()) == {"0.weight", "0.bias"}
    values = torch.randn(1, 3, 8, 8)
    torch.testing.assert_close(changed(values), net(values), rtol=0, atol=1e-6)


class Branching(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(self.conv(x)) if x.sum() > 0 else x


class Reused(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.conv(x)
        return y + self.norm(y)


def test_what_cannot_be_folded():
    _, (change,) = rewritten(Branching().eval(), ["folded_batch_norms"])
    assert change.layers == ()
    assert change.note.startswith("Branching cannot be traced: ")
    _, (change,) = rewritten(Reused().eval(), ["folded_batch_norms"])
    assert (change.layers, change.note) == ((), "")
    training = nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3))
    assert rewritten(training, ["folded_batch_norms"])[1][0].layers == ()


def test_a_layer_used_twice_stays_one():
    shared = nn.ConvTranspose2d(4, 4, 4, 2, 1)
    net, (change,) = rewritten(nn.Sequential(shared, nn.ReLU(), shared), ["even_transposed_convolutions"])
    assert change.layers == ("0", "2")
    assert net[0] is net[2]


def halved_in_place(net: nn.Module) -> Change:
    for parameter in net.parameters():
        parameter.detach().mul_(0.5)
    return Change("halved", ())


def test_weights_are_shared_unless_a_rewrite_may_write_into_them():
    net = nn.Sequential(nn.Conv2d(3, 4, 3, bias=False)).eval()
    for name, is_shared in (("folded_batch_norms", True), (f"{__name__}:halved_in_place", False)):
        before = net[0].weight.clone()
        changed, _ = rewritten(net, [name], shares=True)
        assert (changed.get_parameter("0.weight").data_ptr() == net[0].weight.data_ptr()) == is_shared
        assert torch.equal(net[0].weight, before)
    kept, _ = rewritten(net, ["folded_batch_norms"], shares=True)
    assert torch.equal(kept.half()[0].weight.float(), before.half().float())
    assert net[0].weight.dtype == torch.float32


def test_an_unknown_rewrite():
    with pytest.raises(ConfigError, match=r"rewrites: got 'sliced', expected a known one; did you mean"):
        rewritten(nn.ReLU(), ["sliced"])


@pytest.mark.parametrize("block", [2, 3])
@torch.no_grad()
def test_rows_of_pixels_are_the_pixel_shuffle(block):
    net = nn.Sequential(nn.ConvTranspose2d(5, 3, 2 * block, block, (block + 1) // 2, block % 2))
    names, values = ["even_transposed_convolutions", "row_shuffles"], torch.randn(2, 5, 6, 7)
    assert net(values).shape == (2, 3, 6 * block, 7 * block)
    changed, changes = rewritten(net, names)
    assert [change.layers for change in changes] == [("0",), ("0",)]
    assert not any(isinstance(layer, nn.PixelShuffle) for layer in changed.modules())
    torch.testing.assert_close(changed(values), net(values), rtol=0, atol=1e-5)
