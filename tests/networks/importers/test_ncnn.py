"""Files of ncnn as networks, compared with the same network in PyTorch, and with ncnn where it is installed."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gancompress.channels import trace
from gancompress.errors import CheckpointError
from gancompress.networks.cut import cut
from gancompress.networks.generator import Generator
from gancompress.networks.importers import load_generator

TEXT = """7767517
16 19
Input data 0 1 data
Split split 1 2 data data0 data1
Convolution first 1 1 data0 first 0=8 1=3 4=1 5=1 6=216 9=2 -23310=1,2.000000e-01
Split again 1 2 first first0 first1
Padding padding 1 1 first0 padded 0=0 1=1 2=0 3=1 4=1
ConvolutionDepthWise deep 1 1 padded deep 0=8 1=2 5=1 6=32 7=8
PReLU slopes 1 1 deep bent 0=8
Concat concat 2 1 first1 bent both 0=0
Slice slice 1 2 both left right -23300=2,-233,-233 1=0
BinaryOp product 2 1 left right product 0=2
BinaryOp scaled 1 1 product scaled 0=2 1=1 2=2.000000e-01
Deconvolution up 1 1 scaled up 0=12 1=4 3=2 4=1 5=1 6=1536
PixelShuffle shuffle 1 1 up shuffled 0=2
Interp enlarged 1 1 data1 enlarged 0=1 1=4.000000e+00 2=4.000000e+00
BinaryOp sum 2 1 shuffled enlarged sum 0=0
Sigmoid out 1 1 sum out
"""


class Upscaler(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.deep = nn.Conv2d(8, 8, 2, groups=8)
        self.slopes = nn.PReLU(8)
        self.up = nn.ConvTranspose2d(8, 12, 4, 2, 1)

    def forward(self, image: Tensor) -> Tensor:
        first = F.leaky_relu(self.first(image), 0.2)
        bent = self.slopes(self.deep(F.pad(first, (0, 1, 0, 1), mode="replicate")))
        up = self.up(first * bent * 0.2)
        return torch.sigmoid(F.pixel_shuffle(up, 2) + F.interpolate(image, scale_factor=4, mode="nearest"))


def packed(weight: Tensor, half: bool) -> bytes:
    if not half:
        return struct.pack("<I", 0) + weight.numpy().tobytes()
    values = weight.half().numpy().tobytes()
    return struct.pack("<I", 0x01306B47) + values + bytes(-len(values) % 4)


@torch.no_grad()
def written(network: Upscaler, folder: Path, half: bool = False) -> Path:
    (folder / "net.param").write_text(TEXT)
    transposed = network.up.weight.transpose(0, 1).contiguous()
    parts = [(network.first.weight, network.first.bias), (network.deep.weight, network.deep.bias), None]
    content = b""
    for part in [*parts, (transposed, network.up.bias)]:
        if part is None:
            content += network.slopes.weight.numpy().tobytes()
        else:
            content += packed(part[0], half) + part[1].numpy().tobytes()
    (folder / "net.bin").write_bytes(content)
    return folder / "net.param"


@pytest.mark.parametrize("half", [False, True])
@torch.no_grad()
def test_files_are_the_network(half: bool, tmp_path: Path) -> None:
    network, image = Upscaler(), torch.rand(2, 3, 8, 12)
    path = written(network, tmp_path, half)
    if half:
        for layer in (network.first, network.deep, network.up):
            layer.weight.copy_(layer.weight.half().float())
    for named in (path, path.with_suffix(".bin")):
        generator = load_generator(named)
        torch.testing.assert_close(generator.build()(image), network(image), rtol=0, atol=1e-6)
    rule = generator.architecture.input_rule
    assert rule is not None
    assert (rule.channels, rule.scale, rule.shapes) == (3, 4, ())
    assert {"first.weight", "up.bias", "slopes.weight"} <= generator.state.keys()


@torch.no_grad()
def test_ncnn_computes_the_same(tmp_path: Path) -> None:
    ncnn = pytest.importorskip("ncnn")
    path, image = written(Upscaler(), tmp_path), torch.rand(3, 8, 12)
    net = ncnn.Net()
    net.opt.use_fp16_storage = net.opt.use_fp16_packed = net.opt.use_fp16_arithmetic = net.opt.use_bf16_storage = False
    assert net.load_param(str(path)) == net.load_model(str(path.with_suffix(".bin"))) == 0
    with net.create_extractor() as extractor:
        extractor.input("data", ncnn.Mat(image.numpy()).clone())
        _, made = extractor.extract("out")
        expected = torch.tensor(made.numpy().copy())
    torch.testing.assert_close(load_generator(path).build()(image[None])[0], expected, rtol=0, atol=1e-4)


def test_it_narrows_and_is_saved(tmp_path: Path) -> None:
    generator = load_generator(written(Upscaler(), tmp_path))
    inputs = generator.architecture.example_inputs((8, 8))
    graph = trace(generator.build(), inputs, multiple=1, minimum=1)
    cut(generator, graph, graph.uniform_plan(0.5)).save(tmp_path / "small")
    small = Generator.load(tmp_path / "small")
    assert small.num_parameters < 0.7 * generator.num_parameters
    assert small.build()(*inputs).shape == (1, 3, 32, 32)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace("Sigmoid", "YoloDetectionOutput"), r"got 1 layer types .*\(YoloDetectionOutput\)"),
        (lambda text: text.replace("sum 0=0", "sum 0=11"), r"got 1 layers that cannot be read \(BinaryOp 11\)"),
        (lambda text: text.replace("7767517", "1"), "got no text of ncnn .*expected a .param file"),
        (lambda text: text.replace("0=12 1=4 3=2 4=1 5=1 6=1536", "0=24 1=4 3=2 4=1 5=1 6=3072"), "it may be cut off"),
        (lambda text: text.replace("PReLU slopes 1 1 deep bent 0=8", "Noop slopes 1 1 deep bent"), "of type 0x"),
        (lambda text: text.replace("5=1 6=1536", "6=1536"), r"got 48 bytes more than its .param file takes"),
    ],
)
def test_files_that_cannot_be_read(change, message: str, tmp_path: Path) -> None:
    path = written(Upscaler(), tmp_path)
    path.write_text(change(path.read_text()))
    with pytest.raises(CheckpointError, match=message) as raised:
        load_generator(path)
    assert "\n" not in str(raised.value)


def test_one_file_without_the_other(tmp_path: Path) -> None:
    path = written(Upscaler(), tmp_path)
    path.with_suffix(".bin").unlink()
    with pytest.raises(CheckpointError, match=r"net.bin: found no such file, expected it beside the other"):
        load_generator(path)
