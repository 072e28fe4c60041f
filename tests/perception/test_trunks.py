from __future__ import annotations

import pytest
import torch
from torch import nn

from gancompress.errors import CheckpointError, ConfigError
from gancompress.perception import TRUNKS, FeatureTrunk, load_trunk
from gancompress.perception.inception import FidInception
from gancompress.perception.load import load_cifar_resnet, load_inception
from gancompress.perception.network_file import NetworkFile

# Convolution parameters of the published classifiers without their heads.
NUM_PARAMETERS = {
    "vgg16": 14_714_688,
    "vgg19": 20_024_384,
    "alexnet": 2_469_696,
    "squeezenet1_0": 735_424,
    "squeezenet1_1": 722_496,
    "mobilenet_v2": 2_223_872,
}


def whole_trunk(name: str, **options) -> FeatureTrunk:
    return FeatureTrunk(*TRUNKS[name](), **options).eval()


@pytest.mark.parametrize("name", TRUNKS)
def test_parameter_counts(name):
    assert sum(parameter.numel() for parameter in whole_trunk(name).parameters()) == NUM_PARAMETERS[name]


@pytest.mark.parametrize("name", TRUNKS)
def test_published_file_loads_by_name(name, tmp_path):
    with torch.device("meta"):
        features, taps = TRUNKS[name]()
    first = next(iter(taps))
    small = FeatureTrunk(TRUNKS[name]()[0][: taps[first] + 1], {first: taps[first]})
    surplus = {"classifier.0.weight": torch.zeros(1), f"features.{len(features) - 1}.other": torch.zeros(1)}
    torch.save(small.state_dict() | surplus, tmp_path / "published.pth")
    trunk = load_trunk(name, [first], weights=tmp_path / "published.pth")
    images = torch.rand(1, 3, 32, 32)
    assert trunk(images)[0].equal(small.eval()(images)[0])
    assert not any(parameter.requires_grad for parameter in trunk.parameters())


def test_taps_and_normalisation():
    trunk = whole_trunk("vgg16", taps=["relu2_2", "relu1_2"], normalize=False)
    images = torch.rand(2, 3, 16, 16)
    assert trunk.tap_names == ("relu1_2", "relu2_2")
    assert [tuple(each.shape) for each in trunk(images)] == [(2, 64, 16, 16), (2, 128, 8, 8)]
    normalized = FeatureTrunk(trunk.features, {"relu2_2": 8}).eval()
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    by_hand = trunk((images - mean.view(3, 1, 1)) / std.view(3, 1, 1))[1]
    assert torch.allclose(normalized(images)[0], by_hand)


def test_squeezenet_equals_another_implementation(shared_data):
    """The same architecture, written by others, with trained weights, as TorchScript in the Caffe colour convention."""
    other = NetworkFile(shared_data / "nets" / "squeezenet10_taps.ts.pt")
    trunk = whole_trunk("squeezenet1_0", taps=["relu1", "fire4", "fire6", "fire8", "fire9"], normalize=False)
    layers = {"fire2": 3, "fire3": 4, "fire4": 5, "fire5": 7, "fire6": 8, "fire7": 9, "fire8": 10, "fire9": 12}
    state = {}
    for name, tensor in other.network.state_dict().items():
        layer, *rest = name.replace("squeeze1x1", "squeeze").split("__")
        if layer in layers or layer == "conv1":
            state[".".join(["features", str(layers.get(layer, 0)), *rest])] = tensor
    trunk.load_state_dict(state)
    images = torch.rand(1, 3, 70, 64)
    caffe = images.flip(1) * 255 - torch.tensor([104.0, 117.0, 123.0]).view(3, 1, 1)
    with torch.no_grad():
        maps, expected = trunk(caffe), other(images)
    for got, wanted in zip(maps, expected, strict=True):
        assert torch.allclose(got, wanted, rtol=1e-4, atol=1e-3)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_resnet_equals_another_implementation(shared_data, tmp_path):
    """The published weights in a TorchScript of others, and the layout of the published file."""
    other = torch.jit.load(shared_data / "nets" / "resnet56_cifar10.ts.pt")
    weights = {f"module.{name.replace('__', '.')}": tensor for name, tensor in other.state_dict().items()}
    torch.save({"state_dict": {name: each for name, each in weights.items() if each.ndim}}, tmp_path / "resnet.th")
    images = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        for got, wanted in zip(load_cifar_resnet(tmp_path / "resnet.th")(images), other(images), strict=True):
            assert got.equal(wanted)


def test_inception():
    network = FidInception().eval()
    # torchvision's inception_v3 without its auxiliary and final classifiers.
    assert sum(parameter.numel() for parameter in network.parameters()) == 21_785_568
    with torch.no_grad():
        assert network(torch.rand(1, 3, 299, 299)).shape == (1, 2048)


def test_inception_loads_the_published_layout(tmp_path):
    state = FidInception().state_dict()
    published = {name: tensor for name, tensor in state.items() if "num_batches" not in name}
    torch.save(published | {"fc.weight": torch.zeros(1), "fc.bias": torch.zeros(1)}, tmp_path / "inception.pth")
    loaded = load_inception(tmp_path / "inception.pth").state_dict()
    assert all(loaded[name].equal(tensor) for name, tensor in state.items())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "vgg61"}, r"trunk: got 'vgg61'.*did you mean 'vgg1[69]'\?"),
        ({"name": "nets/some.pt", "taps": ["relu1"]}, "expected none, for the file fixes them"),
    ],
)
def test_load_trunk_refuses(arguments, message):
    with pytest.raises(ConfigError, match=message):
        load_trunk(**arguments)


@pytest.mark.parametrize(
    ("taps", "message"), [(["relu1_3"], r"got the tap 'relu1_3'.*did you mean 'relu1_2'\?|relu"), ([], "got no taps")]
)
def test_taps_are_checked(taps, message):
    with pytest.raises(ConfigError, match=message):
        whole_trunk("vgg16", taps=taps)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_network_file_of_torchscript(tmp_path):
    module = nn.Conv2d(3, 4, 3)
    torch.jit.save(torch.jit.trace(module, torch.rand(1, 3, 8, 8)), tmp_path / "net.ts.pt")
    network = NetworkFile(tmp_path / "net.ts.pt")
    images = torch.rand(2, 3, 9, 8, requires_grad=True)
    (output,) = network(images)
    assert torch.allclose(output, module(images))
    output.sum().backward()
    assert images.grad is not None
    assert network.differentiable


def test_network_file_of_onnx(tmp_path):
    pytest.importorskip("onnxruntime", reason="needs onnxruntime")
    onnx = pytest.importorskip("onnx", reason="needs onnx")
    make = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("GlobalAveragePool", ["images"], ["features"])],
        "pool",
        [make("images", 1, ["b", 3, "h", "w"])],
        [make("features", 1, ["b", 3, 1, 1])],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, tmp_path / "net.onnx")
    network = NetworkFile(tmp_path / "net.onnx")
    images = torch.rand(2, 3, 5, 7)
    assert torch.allclose(network(images)[0], images.mean((2, 3), keepdim=True))
    assert not network.differentiable


@pytest.mark.parametrize(("name", "kind"), [("net.pt", "torch.jit"), ("net.onnx", "onnxruntime")])
def test_network_files_that_cannot_be_read(name, kind, tmp_path):
    with pytest.raises(CheckpointError, match="found no such file"):
        NetworkFile(tmp_path / name)
    if kind == "onnxruntime":
        pytest.importorskip("onnxruntime", reason="needs onnxruntime")
    (tmp_path / name).write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match=f"{name}: got a file that {kind} cannot read"):
        NetworkFile(tmp_path / name)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_network_file_that_fails_on_the_images(tmp_path):
    torch.jit.save(torch.jit.trace(nn.Linear(8, 2), torch.rand(1, 3, 8, 8)), tmp_path / "net.pt")
    with pytest.raises(CheckpointError, match=r"running it on images of shape \(1, 3, 8, 9\) failed"):
        NetworkFile(tmp_path / "net.pt")(torch.rand(1, 3, 8, 9))
