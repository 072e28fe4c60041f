"""Many modules, one run of the exporter: each file computes what its module does."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from gancompress.deploy import export_layers, find_format
from gancompress.errors import ExportError


@pytest.mark.parametrize("format", ["onnx_fixed", "torch"])
@torch.no_grad()
def test_every_file_computes_what_its_module_does(format, tmp_path):
    if format == "onnx_fixed":
        pytest.importorskip("onnxscript")
        pytest.importorskip("onnxruntime")
    modules = [nn.Conv2d(2, 3, 3, padding=1), nn.Sequential(nn.InstanceNorm2d(2), nn.ReLU()), nn.Conv2d(2, 1, 1)]
    same = torch.randn(1, 2, 6, 6)  # one tensor as the input of all, as zeros of one size are
    paths = export_layers(modules, [same] * 3, tmp_path, format)
    for module, path in zip(modules, paths, strict=True):
        (image,) = find_format(format)[0].open(path).run((same,))
        torch.testing.assert_close(image, module.eval()(same), rtol=0, atol=1e-5)


def test_a_module_that_cannot_be_exported_is_told(tmp_path):
    class Picks(nn.Module):
        def forward(self, values):
            return values if values.sum() > 0 else -values

    with pytest.raises(ExportError, match="torch of 1 layers failed: "):
        export_layers([Picks()], [torch.ones(2)], tmp_path, "torch")
