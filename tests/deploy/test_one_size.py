"""Networks of one batch or size: a format with free ones refuses them in one line, which names what takes them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from gancompress.deploy import export_module
from gancompress.errors import ExportError
from gancompress.networks.registry import build

pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")

IMAGE = torch.linspace(-1, 1, 3 * 64).reshape(1, 3, 8, 8)


class OneBatch(nn.Module):
    def forward(self, image: Tensor) -> Tensor:
        return image.reshape(1, 3, *image.shape[2:]) * 2


class OneSize(nn.Module):
    def forward(self, image: Tensor) -> Tensor:
        return image + torch.ones(1, 3, 8, 8)


class Unwritable(nn.Module):
    def forward(self, image: Tensor) -> Tensor:
        return image if image.sum() > 0 else -image


ALONE = r"export of {}: got a network of the batch or size of its inputs alone, expected free ones; one size works: "
FORMATS = {
    "net.onnx": r"take the format 'onnx_fixed'$",
    "net.pt2": r"take a format of one size, such as 'onnx_fixed', or inputs of another size \(--size\)$",
}


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("net", [OneBatch(), OneSize()], ids=lambda net: type(net).__name__)
def test_no_text_of_an_exporter_is_shown(name, net, tmp_path):
    with pytest.raises(ExportError, match=ALONE.format(type(net).__name__) + FORMATS[name]):
        export_module(net, (IMAGE,), tmp_path / name)
    assert not list(tmp_path.iterdir())
    assert export_module(net, (IMAGE,), tmp_path / "fixed.onnx", "onnx_fixed").max_difference == 0


@pytest.mark.parametrize("name", FORMATS)
def test_another_cause_is_kept(name, tmp_path):
    with pytest.raises(ExportError, match="export of Unwritable failed: ") as caught:
        export_module(Unwritable(), (IMAGE,), tmp_path / name)
    assert "one size" not in str(caught.value)


def test_a_program_of_a_unet_whose_innermost_map_has_one_pixel(tmp_path):
    torch.manual_seed(0)
    net, image = build("unet", {"ngf": 4, "num_downs": 3}), IMAGE
    with pytest.raises(
        ExportError, match=r"does not run with inputs \(1, 3, 16, 8\).*; one size works: " + FORMATS["net.pt2"]
    ):
        export_module(net, (image,), tmp_path / "net.pt2")
    larger = image.repeat(1, 1, 2, 2)
    assert export_module(net, (larger,), tmp_path / "net.pt2").max_difference < 1e-5


@pytest.mark.parametrize(("format", "ending", "reader"), [("torch", "pt2", "PyTorch"), ("openvino", "xml", "OpenVINO")])
def test_a_file_is_named_as_its_reader_wants(format, ending, reader, tmp_path):
    with pytest.raises(
        ExportError, match=rf"got .*program, expected a name that ends in \.{ending}: {reader} opens no other"
    ):
        export_module(nn.Tanh(), (IMAGE,), tmp_path / "program", format)
