"""Many modules, one run of the exporter: each file computes what its module does."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from gancompress.errors import ExportError
from gancompress.export.many import export_many
from gancompress.export.runtimes import onnx_runtime, torch_runtime

OPEN = {"onnx_fixed": onnx_runtime.open_file, "torch": torch_runtime.open_program}


@pytest.mark.parametrize("format", OPEN)
@torch.no_grad()
def test_every_file_computes_what_its_module_does(format, tmp_path):
    if format == "onnx_fixed":
        pytest.importorskip("onnxscript")
        pytest.importorskip("onnxruntime")
    modules = [nn.Conv2d(2, 3, 3, padding=1), nn.Sequential(nn.InstanceNorm2d(2), nn.ReLU()), nn.Conv2d(2, 1, 1)]
    same = torch.randn(1, 2, 6, 6)  # one tensor as the input of all, as zeros of one size are
    paths = export_many(modules, [same] * 3, tmp_path, format)
    for module, path in zip(modules, paths, strict=True):
        (image,) = OPEN[format](path).run((same,))
        torch.testing.assert_close(image, module.eval()(same), rtol=0, atol=1e-5)


def test_a_module_that_cannot_be_exported_is_told(tmp_path):
    class Picks(nn.Module):
        def forward(self, values):
            return values if values.sum() > 0 else -values

    with pytest.raises(ExportError, match="torch of 1 layers failed: "):
        export_many([Picks()], [torch.ones(2)], tmp_path, "torch")
