"""ExecuTorch files: names of inputs, several outputs, the contract, and refusals."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import gancompress
from gancompress.deploy import FileOptions, export_module, usage
from gancompress.deploy.runtimes.executorch_runtime import ExecuTorch
from gancompress.errors import ExportError

pytest.importorskip("executorch")


class Two(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 3)

    def forward(self, image, style):
        return self.conv(image) + style.mean(), style * 2


def test_inputs_keep_their_names_and_order(tmp_path):
    net, inputs = Two(), (torch.rand(1, 3, 8, 8), torch.rand(1, 5))
    report = export_module(
        net, inputs, tmp_path / "net.pte", options=FileOptions(input_names=["z", "a"], metadata={"layout": "NCHW"})
    )
    assert report.max_difference is not None
    assert report.max_difference < 1e-5
    assert [file.name for file in tmp_path.iterdir()] == ["net.pte"]
    loaded = gancompress.load(report.path)
    assert [(each.name, each.shape) for each in loaded._runner.inputs] == [("z", (1, 3, 8, 8)), ("a", (1, 5))]
    assert loaded.contract["layout"] == "NCHW"
    first = loaded._runner.run(inputs)
    loaded._runner.run((torch.zeros(1, 3, 8, 8), torch.zeros(1, 5)))
    for got, expected in zip(first, net(*inputs), strict=True):  # the second run has not changed them
        torch.testing.assert_close(got, expected.detach())


def test_the_usage_runs(tmp_path):
    report = export_module(nn.Conv2d(3, 2, 1), (torch.rand(1, 3, 8, 8),), tmp_path / "net.pte")
    scope: dict[str, object] = {}
    exec(usage(report.path).replace('"net.pte"', f'"{report.path}"'), scope)
    assert scope["result"].shape == (1, 2, 8, 8)  # type: ignore[attr-defined]


def test_files_of_other_programs(tmp_path):
    report = export_module(nn.Conv2d(3, 2, 1), (torch.rand(1, 3, 8, 8),), tmp_path / "net.pte")
    whole = report.path.read_bytes()
    report.path.write_bytes(whole[: whole.index(b"PK\x03\x04")])
    with pytest.raises(ExportError, match=r"got a program without names of its inputs, expected one that export wrote"):
        gancompress.load(report.path)
    report.path.write_bytes(b"something else")
    with pytest.raises(ExportError, match="ExecuTorch cannot run the file: ") as caught:
        ExecuTorch().open(report.path)
    assert "\n" not in str(caught.value)
