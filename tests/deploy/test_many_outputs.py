"""Networks with several outputs, in every precision and on every runtime of this machine."""

from __future__ import annotations

from importlib.util import find_spec

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import gancompress
from gancompress.errors import ExportError
from gancompress.networks.generator import Generator
from gancompress.networks.image_format import STANDARD
from gancompress.networks.outputs import named_outputs

pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")

IMAGES = torch.rand(32, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1


class Restorer(nn.Module):
    """Returns its image, and drafts and scores that are much larger."""

    def __init__(self, as_mapping: bool = False) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 8, 3, 1, 1), nn.Conv2d(8, 8, 3, 1, 1)
        self.draft, self.last = nn.Conv2d(8, 3, 1), nn.Conv2d(8, 3, 1)
        self.as_mapping = as_mapping

    def forward(self, x: Tensor):
        a = F.relu(self.a(x))
        image, draft = torch.tanh(self.last(F.relu(self.b(a)))), 100 * self.draft(a)
        if self.as_mapping:
            return {"score": draft.mean((1, 2, 3)), "input": image, "drafts": [draft]}
        return image, [draft]


def network(as_mapping: bool) -> Restorer:
    torch.manual_seed(0)
    return Restorer(as_mapping).eval()


FORMATS = {"model.onnx": "onnxruntime", "model.xml": "openvino", "model.pt2": "torch"}


@pytest.mark.parametrize(
    ("as_mapping", "file", "precision"),
    [
        (False, "model.onnx", "int8"),
        (False, "model.onnx", "fp16"),
        (True, "model.onnx", "int8"),
        (True, "model.pt2", "fp32"),
        (True, "model.xml", "int8"),
    ],
)
def test_every_output_has_its_name_and_the_image_is_compared(as_mapping, file, precision, tmp_path):
    if find_spec(FORMATS[file]) is None:
        pytest.skip(f"{FORMATS[file]} is not installed")
    net = network(as_mapping)
    report = gancompress.export(
        net, IMAGES[:1], tmp_path / file, precision=precision, calibration=IMAGES, min_psnr_db=0
    )
    assert report.quality is not None
    assert report.quality.psnr_db > 35
    loaded = gancompress.load(report.path, trust=True)
    with torch.no_grad():
        expected = named_outputs(net(IMAGES[:2]), ["input"])
    assert loaded.contract["outputs"] == list(expected)
    results = loaded.outputs(IMAGES[:2])
    assert list(results) == list(expected)
    for name, each in expected.items():
        assert (results[name] - each).abs().max() < 0.1 * each.abs().max()
    image = expected["output_input" if as_mapping else "output_0"]
    assert (loaded(IMAGES[:2]) - image).abs().max() < 0.1


def test_a_saved_network_of_several_outputs_runs_in_pytorch(tmp_path):
    net = network(as_mapping=True)
    Generator.from_module(net, f"{__name__}:Restorer", {"as_mapping": True}, STANDARD).save(tmp_path / "net")
    loaded = gancompress.load(tmp_path / "net", trust=True)
    with torch.no_grad():
        expected = net(IMAGES[:2])
    assert list(loaded.outputs(IMAGES[:2])) == ["score", "input", "drafts_0"]
    assert loaded(IMAGES[:2]).equal(expected["input"])


class Wrong(Restorer):
    """Returns a constant of another value once it is exported."""

    def forward(self, x: Tensor):
        image, [draft] = super().forward(x)
        return image, [draft + float(torch.compiler.is_exporting())]


def test_other_outputs_are_compared_too(tmp_path):
    with pytest.raises(ExportError, match=r"export of Wrong: output_1_0 is 1 from eager .*; the tolerance is 0\.0\d+$"):
        gancompress.export(Wrong().eval(), IMAGES[:1], tmp_path / "model.onnx")
