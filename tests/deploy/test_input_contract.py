"""What a file says and what its runtime knows are enough to make inputs for it, or to say what is missing."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from gancompress.deploy.axes import at_batch, image_size
from gancompress.deploy.input_contract import InputContract
from gancompress.deploy.runtimes.runner import Input
from gancompress.errors import ConfigError, InputSizeError

PATH = Path("model.onnx")
IMAGES = Input("input", (None, 3, None, None), torch.float32)
LABELS = Input("labels", (None, None, None), torch.int32)
EDGES = Input("edges", (None, None, None), torch.bool)
STYLES = Input("input_0", (None, 4, 6), torch.float32)
NOISE = Input("input_1", (None, 144), torch.float32)
SOUND = Input("input", (None, 80, None), torch.float32)
HALVES = Input("input", (1, 3, 8, 16), torch.float16)


@pytest.mark.parametrize(
    ("facts", "inputs", "shapes"),
    [
        ({"layout": "NCHW", "channels": 3, "size_multiple_px": 4}, (IMAGES,), [(1, 3, 32, 48)]),
        ({"layout": "NHW", "labels": 5}, (LABELS, EDGES), [(1, 32, 48)] * 2),
        ({"layout": "NC", "latent_size": 144}, (NOISE,), [(1, 144)]),
        ({}, (STYLES, NOISE), [(1, 4, 6), (1, 144)]),
        ({}, (HALVES,), [(1, 3, 8, 16)]),
    ],
    ids=["images", "label maps and edges", "noise", "styles and noise maps", "a fixed size"],
)
def test_examples_fit(facts, inputs, shapes):
    values = InputContract(PATH, facts, inputs).examples((32, 48))
    assert [tuple(each.shape) for each in values] == shapes
    assert [each.dtype for each in values] == [each.dtype for each in inputs]


def test_labels_are_those_that_the_file_knows():
    labels, edges = InputContract(PATH, {"labels": 5}, (LABELS, EDGES)).examples((4, 4))
    assert set(labels.unique().tolist()) == {0, 1, 2, 3, 4}
    assert set(edges.unique().tolist()) == {False, True}
    assert InputContract(PATH, {}, (LABELS,)).examples((4, 4))[0].max() == 0  # of a file that tells nothing


def test_shapes_may_be_said():
    takes = InputContract(PATH, {}, (SOUND,))
    assert takes.examples((32, 32), [(2, 80, 64)])[0].shape == (2, 80, 64)
    with pytest.raises(ConfigError, match=r"got an input input of anyx80xany, expected .* say the shape .* --input"):
        takes.examples((32, 32))
    with pytest.raises(InputSizeError, match=r"got values of 2x40x64 for input, expected anyx80xany"):
        takes.examples((32, 32), [(2, 40, 64)])
    with pytest.raises(InputSizeError, match=r"got values of 2x80 for input, expected anyx80xany"):
        takes.examples((32, 32), [(2, 80)])
    with pytest.raises(ConfigError, match=r"got 1 shapes, expected 2, one for each of input_0, input_1"):
        InputContract(PATH, {}, (STYLES, NOISE)).examples((32, 32), [(1, 4, 6)])


def test_another_batch():
    labels, edges = torch.tensor([[[3, 1]]], dtype=torch.int32), torch.ones(1, 1, 2) > 0
    batch = at_batch((labels, edges, torch.tensor(0.5)), 4)
    assert [tuple(each.shape) for each in batch] == [(4, 1, 2), (4, 1, 2), ()]
    assert [each.dtype for each in batch] == [torch.int32, torch.bool, torch.float32]
    assert set(batch[0].unique().tolist()) == {1, 3}
    assert torch.equal(at_batch((labels,), 1)[0], labels)


def test_the_size_of_images():
    assert image_size((torch.zeros(1, 3, 8, 16),)) == (8, 16)
    assert image_size((torch.zeros(1, 8, 16, dtype=torch.int32),)) == (8, 16)
    assert image_size((torch.zeros(1, 4, 6), torch.zeros(1, 144))) is None
    assert image_size((torch.zeros(1, 6),)) is None
