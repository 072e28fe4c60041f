"""Export of a module from Python, beyond its formats."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import gancompress
from gancompress.errors import ExportError


def test_an_opset_may_be_chosen(tmp_path):
    onnx = pytest.importorskip("onnx")
    network, x, file = nn.Conv2d(3, 3, 3), torch.rand(1, 3, 8, 8), tmp_path / "old.onnx"
    gancompress.export(network, x, file, opset=13)
    assert [each.version for each in onnx.load(file).opset_import if each.domain == ""] == [13]
    with pytest.raises(ExportError, match=r"opset: got 10, expected 11 to \d+"):
        gancompress.export(network, x, file, opset=10)
