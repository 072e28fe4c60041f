"""Packages and opsets of a job's files, checked before its first image."""

from __future__ import annotations

import pytest

from gancompress.errors import ExportError
from gancompress.jobs.export_options import ExportOptions
from gancompress.jobs.packages import check_exports

pytest.importorskip("onnxscript")


def test_an_opset_that_cannot_be_written_is_refused(monkeypatch):
    fine, new = ExportOptions(opset=13), ExportOptions(format="onnx_fixed", opset=99)
    check_exports((fine,), pytest.fail)
    with pytest.raises(ExportError, match=r"^exports\.1: opset: got 99, expected 11 to \d+$"):
        check_exports((fine, new), pytest.fail)
    said = []
    monkeypatch.setattr("gancompress.jobs.packages.missing_package", lambda name: "needs a package")
    check_exports((new.model_copy(update={"if_installed": True}),), said.append)
    assert said == ["exports.0: skipped, because onnx_fixed needs a package"]
