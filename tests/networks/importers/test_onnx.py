"""ONNX files as networks, compared with onnxruntime and with the networks that they were exported from."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from gancompress.channels import trace  # noqa: E402
from gancompress.errors import CheckpointError, InputSizeError  # noqa: E402
from gancompress.networks.cut import cut  # noqa: E402
from gancompress.networks.generator import Generator  # noqa: E402
from gancompress.networks.importers import load_generator  # noqa: E402


class Painter(nn.Module):
    """Every kind of layer of image generators."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.enter = nn.Conv2d(3, width, 5, padding=2, padding_mode="reflect")
        self.norm = nn.InstanceNorm2d(width)
        self.down = nn.Conv2d(width, 2 * width, 3, 2, 1)
        self.batch_norm = nn.BatchNorm2d(2 * width)
        self.group_norm = nn.GroupNorm(4, 2 * width)
        self.inner = nn.Conv2d(2 * width, 2 * width, 3, padding=1)
        self.up = nn.ConvTranspose2d(2 * width, width, 3, 2, 1, 1)
        self.slopes = nn.PReLU(width)
        self.gate = nn.Linear(width, width)
        self.wide = nn.Conv2d(2 * width, 4 * width, 3, padding=1)
        self.leave = nn.Conv2d(width, 3, 3, padding=1)
        with torch.no_grad():
            self.batch_norm.running_var.uniform_(0.5, 2)
            self.group_norm.weight.uniform_(0.5, 2)

    def forward(self, image: Tensor) -> Tensor:
        first = F.relu(self.norm(self.enter(image)))
        x = F.leaky_relu(self.batch_norm(self.down(first)), 0.2)
        x = x + self.inner(F.silu(self.group_norm(x)))
        x = self.slopes(self.up(x))
        x = torch.cat([x * torch.sigmoid(self.gate(x.mean((2, 3))))[:, :, None, None], first], 1)
        left, right = F.pixel_shuffle(self.wide(x), 2).chunk(2, 1)
        x = torch.cat([left * torch.tanh(right), left], 1)
        return torch.tanh(self.leave(F.interpolate(x, scale_factor=2, mode="bilinear")))


class Bottleneck(nn.Module):
    """Noise, a view with constants, and an output of attention."""

    def __init__(self) -> None:
        super().__init__()
        self.enter = nn.Linear(6, 4 * 4 * 4)
        self.queries, self.values = nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1)

    def forward(self, noise: Tensor) -> Tensor:
        x = self.enter(noise).view(-1, 4, 4, 4)
        queries, values = self.queries(x).flatten(2), self.values(x).flatten(2)
        weights = torch.softmax(queries.transpose(1, 2) @ queries, -1)
        return F.pixel_unshuffle(x + (values @ weights).view_as(x), 2)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning", "ignore::UserWarning")
def exported(network: nn.Module, example: Tensor, path: Path, dynamo: bool, free: tuple[int, ...] = ()) -> Path:
    shapes = ({axis: torch.export.Dim.DYNAMIC for axis in free},)
    names = {"x": {axis: f"axis{axis}" for axis in free}}
    options = {"dynamic_shapes": shapes} if dynamo else {"dynamic_axes": names}
    torch.onnx.export(
        network.eval(), (example,), path, input_names=["x"], dynamo=dynamo, verbose=False, **(options if free else {})
    )
    return path


def ran(path: Path, value: Tensor) -> Tensor:
    return torch.from_numpy(onnxruntime.InferenceSession(path).run(None, {"x": value.numpy()})[0])


@pytest.fixture(scope="module")
def painter(tmp_path_factory: pytest.TempPathFactory) -> tuple[Painter, Path]:
    """A network, and its file for one image of one size."""
    torch.manual_seed(0)
    network = Painter()
    path = tmp_path_factory.mktemp("onnx") / "net.onnx"
    return network, exported(network, torch.rand(1, 3, 16, 16), path, dynamo=False)


pytestmark = pytest.mark.filterwarnings("ignore")  # the exporters warn of themselves


@torch.no_grad()
def test_a_file_is_the_network_that_was_exported(painter: tuple[Painter, Path]) -> None:
    network, path = painter
    generator = load_generator(path)
    rule = generator.architecture.input_rule
    assert rule is not None
    assert (rule.channels, rule.scale, rule.shapes, generator.architecture.images) == (3, 4, (), None)
    image = torch.rand(1, 3, 16, 16)
    torch.testing.assert_close(generator.build()(image), ran(path, image), rtol=0, atol=1e-5)
    larger = torch.rand(2, 3, 24, 32)
    torch.testing.assert_close(generator.build()(larger), network(larger), rtol=0, atol=1e-5)
    assert {"enter.weight", "leave.bias", "gate.weight", "group_norm.weight"} <= generator.state.keys()


def test_it_narrows_trains_and_is_exported_again(painter: tuple[Painter, Path], tmp_path: Path) -> None:
    generator = load_generator(painter[1])
    inputs = generator.architecture.example_inputs((16, 16))
    graph = trace(generator.build(), inputs, multiple=1, minimum=1)
    cut(generator, graph, graph.uniform_plan(0.5)).save(tmp_path / "small")
    small = Generator.load(tmp_path / "small")
    assert small.num_parameters < 0.4 * generator.num_parameters
    network = small.build().train()
    image = torch.rand(2, 3, 16, 16)
    network(image).square().mean().backward()
    assert all(weight.grad is not None for weight in network.parameters())
    path = exported(network.eval(), image[:1], tmp_path / "small.onnx", dynamo=True, free=(0, 2, 3))
    with torch.no_grad():
        torch.testing.assert_close(ran(path, image), network(image), rtol=0, atol=1e-5)
        torch.testing.assert_close(load_generator(path).build()(image), network(image), rtol=0, atol=1e-5)


@pytest.mark.parametrize("dynamo", [False, True])
@torch.no_grad()
def test_noise_attention_and_views(dynamo: bool, tmp_path: Path) -> None:
    network, noise = Bottleneck(), torch.rand(1, 6)
    path = exported(network, noise, tmp_path / "net.onnx", dynamo)
    generator = load_generator(path)
    torch.testing.assert_close(generator.build()(noise), ran(path, noise), rtol=0, atol=1e-5)
    several = torch.rand(3, 6)
    torch.testing.assert_close(generator.build()(several), network(several), rtol=0, atol=1e-5)
    assert generator.architecture.input_rule is not None
    assert generator.architecture.input_rule.shapes == ((None, 6),)


def single(operator: str, shape: list[int], constants: dict[str, Tensor], path: Path, domain: str = "", **attributes):
    """A file of one node."""
    tensors = [numpy_helper.from_array(tensor.numpy(), name) for name, tensor in constants.items()]
    node = helper.make_node(operator, ["x", *constants], ["y"], domain=domain, **attributes)
    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, s) for name, s in (("x", shape), ("y", None))]
    graph = helper.make_graph([node], "graph", value[:1], value[1:], tensors)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


KERNEL = {"w": torch.arange(54.0).sin().view(2, 3, 3, 3)}
SINGLES: dict[str, tuple[str, dict[str, Tensor], dict[str, object]]] = {
    "asymmetric pads": ("Conv", KERNEL, {"pads": [0, 1, 2, 1], "strides": [2, 2]}),
    "automatic pads": ("Conv", KERNEL, {"auto_pad": "SAME_UPPER", "strides": [2, 2]}),
    "transposed, asymmetric": (
        "ConvTranspose",
        {"w": KERNEL["w"].transpose(0, 1).contiguous()},
        {"pads": [0, 0, 1, 1], "strides": [2, 2]},
    ),
    "average pool": ("AveragePool", {}, {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "strides": [2, 2]}),
    "max pool": ("MaxPool", {}, {"kernel_shape": [2, 2], "strides": [2, 2], "pads": [0, 0, 1, 1]}),
    "clip": ("Clip", {"low": torch.tensor(-0.2), "high": torch.tensor(0.3)}, {}),
    "resize by nearest": ("Resize", {"roi": torch.empty(0), "s": torch.tensor([1.0, 1, 3, 3])}, {"mode": "nearest"}),
    "resize by cubes": ("Resize", {"roi": torch.empty(0), "s": torch.tensor([1.0, 1, 2, 2])}, {"mode": "cubic"}),
    "block before channels": ("SpaceToDepth", {}, {"blocksize": 2}),
    "slice backwards": (
        "Slice",
        {"a": torch.tensor([-1]), "b": torch.tensor([-9]), "c": torch.tensor([1]), "d": torch.tensor([-1])},
        {},
    ),
    "hard sigmoid": ("HardSigmoid", {}, {"alpha": 0.3}),
    "reduce": ("ReduceL2", {}, {"axes": [1], "keepdims": 0}),
    "pad": ("Pad", {"p": torch.tensor([0, 0, 1, 2, 0, 0, 0, 3])}, {"mode": "edge"}),
    "slopes": ("PRelu", {"s": torch.tensor([0.1, 0.2, 0.3]).view(3, 1, 1)}, {}),
}


@pytest.mark.parametrize("case", SINGLES)
@torch.no_grad()
def test_single_operators(case: str, tmp_path: Path) -> None:
    operator, constants, attributes = SINGLES[case]
    path = single(operator, [1, 3, 8, 8], constants, tmp_path / "net.onnx", **attributes)
    image = torch.rand(1, 3, 8, 8) * 2 - 1
    torch.testing.assert_close(load_generator(path).build()(image), ran(path, image), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("operator", "domain", "attributes", "message"),
    [
        ("TopK", "", {}, r"got 1 operators that cannot be read \(TopK\), expected those of image networks; give the"),
        ("Fancy", "my.ops", {}, r"cannot be read \(my.ops.Fancy\)"),
        ("Cast", "", {"to": 16 + 7}, r"cannot be read \(Cast to type 23\)"),
    ],
)
def test_operators_that_are_not_known(operator, domain, attributes, message, tmp_path: Path) -> None:
    path = single(operator, [1, 3, 8, 8], {}, tmp_path / "net.onnx", domain, **attributes)
    with pytest.raises(CheckpointError, match=message) as raised:
        load_generator(path)
    assert "\n" not in str(raised.value)


def test_what_is_no_file_of_one_network(tmp_path: Path) -> None:
    (tmp_path / "net.onnx").write_bytes(b"\x08 no file of ONNX")
    with pytest.raises(CheckpointError, match="expected an ONNX file; copy it again"):
        load_generator(tmp_path / "net.onnx")
    path = single("Relu", [1, 3, 8, 8], {}, tmp_path / "net.onnx")
    with pytest.raises(CheckpointError, match="got the family resnet for an ONNX file"):
        load_generator(path, "resnet")
    with pytest.raises(CheckpointError, match="got a key for an ONNX file, which holds one network"):
        load_generator(f"{path}#net")


def test_a_size_that_the_file_needs(tmp_path: Path) -> None:
    path = single("Add", [1, 3, 8, 8], {"map": torch.rand(1, 3, 8, 8)}, tmp_path / "net.onnx")
    architecture = load_generator(path).architecture
    with pytest.raises(InputSizeError, match="expected 8x8, the size of the file"):
        architecture.check_size((16, 16))
