"""A semantic generator as a file that takes integer labels."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from gancompress.deploy import export_module
from gancompress.networks.label_input import LabelInput
from gancompress.networks.registry import build

onnxruntime = pytest.importorskip("onnxruntime", reason="exports to ONNX, which is not installed")


def test_labels_and_edges_of_any_batch_and_size(tmp_path: Path) -> None:
    network = build("mobile_spade", {"ngf": 2, "in_channels": 6, "upsampling": "normal"}).eval()
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if "running" in name:
                tensor.uniform_(0.5, 1.5)
            elif tensor.is_floating_point():
                tensor.mul_(5)
    labels = (torch.arange(64 * 96) * 7 // 5 % 5).view(1, 64, 96)
    edges = labels % 3 == 0
    axes = {0: "batch", 1: "height", 2: "width"}
    report = export_module(
        LabelInput(network, 5),
        (labels, edges),
        tmp_path / "net.onnx",
        dynamic=[axes, axes],
        input_names=["labels", "edges"],
    )
    assert [case.input_shapes[0] for case in report.cases] == [(1, 64, 96), (2, 64, 96), (1, 128, 96), (1, 64, 192)]
    assert report.max_difference < 5e-5
    session = onnxruntime.InferenceSession(report.path)
    assert [(given.name, given.type) for given in session.get_inputs()] == [
        ("labels", "tensor(int64)"),
        ("edges", "tensor(bool)"),
    ]
    (image,) = session.run(None, {"labels": labels.numpy(), "edges": edges.numpy()})
    assert image.std() > 0.02
