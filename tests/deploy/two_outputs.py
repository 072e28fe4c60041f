"""A network of two inputs and two outputs, written as a file whose inputs are not in alphabetical order."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

import gancompress
from gancompress.deploy import FileOptions, export_module

INPUTS = torch.rand(1, 3, 8, 8), torch.rand(1, 5)


class Two(nn.Module):
    """An image and a style to another image and the style."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 3)

    def forward(self, image, style):
        return self.conv(image) + style.mean(), style * 2


def check_two_outputs(path: Path):
    """Write the network as the only file of a directory, compare its outputs, and return the loaded file."""
    net = Two()
    options = FileOptions(input_names=["z", "a"], metadata={"layout": "NCHW"})
    report = export_module(net, INPUTS, path, options=options)
    assert report.max_difference is not None
    assert report.max_difference < 1e-5
    assert list(path.parent.iterdir()) == [path]
    loaded = gancompress.load(report.path)
    assert [(each.name, each.shape) for each in loaded._runner.inputs] == [("z", (1, 3, 8, 8)), ("a", (1, 5))]
    first = loaded._runner.run(INPUTS)
    loaded._runner.run(tuple(map(torch.zeros_like, INPUTS)))
    for got, expected in zip(first, net(*INPUTS), strict=True):  # the second run has not changed them
        torch.testing.assert_close(got, expected.detach())
    return loaded
