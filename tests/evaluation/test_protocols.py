"""Published protocols of segmentation: which labels count, at which size, at which scales."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from gancompress.errors import MetricError
from gancompress.evaluation import SEGMENTATION_PROTOCOLS, Evaluator, NetworkSpec, SegmentationNetwork


class Red(nn.Module):
    """Logits of 19 classes: the number of a pixel's class is its red, in steps of 10 of 255."""

    def forward(self, images: Tensor) -> Tensor:
        return -(images[:, :1] * 25.5 - torch.arange(19).view(1, 19, 1, 1)).abs()


def red(classes: Tensor) -> Tensor:
    """Images [b, 3, h, w] that show classes [b, h, w] to `Red`."""
    return (classes[:, None].expand(-1, 3, -1, -1) * 10 / 127.5) - 1


@pytest.fixture
def spec(tmp_path: Path) -> NetworkSpec:
    with pytest.warns(DeprecationWarning, match="torch.jit"):
        torch.jit.save(torch.jit.trace(Red(), torch.rand(1, 3, 8, 8)), tmp_path / "red.pt")
    return NetworkSpec(tmp_path / "red.pt", protocol="cityscapes_drn")


def test_cityscapes_scores_the_benchmarks_labels_in_the_size_of_their_files(spec: NetworkSpec):
    """Roads (id 7, class 0) and cars (id 26, class 13) count; ids 0 and 5, and what is unknown, do not."""
    ids = torch.full((1, 16, 32), 7)
    ids[..., 16:] = 26
    ids[:, 8:] = 0
    ids[:, 12:] = 35  # "don't care" of a data set of 35 classes
    images = red(torch.zeros(1, 4, 8))  # roads alone
    evaluator = Evaluator(["miou_drn", "pixel_accuracy_drn"], {"drn": spec})
    assert evaluator.needs_file_labels
    with pytest.raises(MetricError, match="drn: got label maps of the images' size alone, expected those of the files"):
        evaluator.add(images, labels=ids[:, ::4, ::4])
    evaluator.add(images, labels=ids[:, ::4, ::4], file_labels=ids.to(torch.int16))
    miou, accuracy = evaluator.results()
    assert accuracy.value == 0.5
    assert miou.value == 0.25  # of roads 1/2, of cars none
    assert "19 classes scored, labels 7, 8, 11" in miou.protocol
    assert "label map's size in its file" in miou.protocol


def test_labels_that_are_not_scored_change_nothing(spec: NetworkSpec):
    network = SegmentationNetwork("drn", Red(), 19, 255, scored=SEGMENTATION_PROTOCOLS["cityscapes_drn"].scored)
    mapped = network.classes_of(torch.tensor([[[7, 33, 0, 34, 35, 8]]]))
    assert mapped.tolist() == [[[0, 18, 255, 255, 255, 1]]]
    plain = SegmentationNetwork("own", Red(), 19, 255)
    labels = torch.tensor([[[7, 33]]])
    assert plain.classes_of(labels) is labels


class BySize(nn.Module):
    """Logits that grow when the image shrinks, for the class of that size."""

    def forward(self, images: Tensor) -> Tensor:
        logits = torch.zeros(len(images), 3, *images.shape[2:])
        logits[:, {8: 0, 6: 1, 4: 2}[images.shape[2]]] = 9 - images.shape[2]
        return logits


def test_the_largest_logits_of_all_scales_count():
    images = torch.zeros(1, 3, 8, 8)
    for scales, winner in (((1.0,), 0), ((0.75, 1.0), 1), ((0.5, 0.75, 1.0), 2)):
        network = SegmentationNetwork("sizes", BySize(), 3, 255, scales=scales)
        assert network(images, (8, 8)).unique().tolist() == [winner]
    assert "largest logits at scales 0.5, 0.75, 1.0" in network.protocol


def test_numbers_of_classes():
    found = {name: (p.num_labels, p.num_classes) for name, p in SEGMENTATION_PROTOCOLS.items()}
    assert found == {"cityscapes_drn": (35, 19), "coco_stuff_deeplab": (182, 182)}
