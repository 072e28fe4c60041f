"""ExecuTorch files: names of inputs, several outputs, the contract, and refusals."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import gancompress
from gancompress.deploy import export_module, usage
from gancompress.deploy.runtimes.executorch_runtime import ExecuTorch
from gancompress.errors import ExportError
from tests.deploy.two_outputs import check_two_outputs

pytest.importorskip("executorch")


def test_inputs_keep_their_names_and_order(tmp_path):
    assert check_two_outputs(tmp_path / "net.pte").contract["layout"] == "NCHW"


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
