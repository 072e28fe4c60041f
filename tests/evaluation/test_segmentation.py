from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from gancompress.errors import MetricError
from gancompress.evaluation import LabelScores, SegmentationNetwork
from gancompress.perception.network_file import NetworkFile

LABELS = torch.tensor([[[0, 0, 1], [1, 9, 2]], [[2, 2, 2], [9, 0, 1]]])
PREDICTED = torch.tensor([[[0, 1, 1], [1, 0, 2]], [[2, 0, 2], [1, 0, 1]]])


def plain_iou(predicted: torch.Tensor, labels: torch.Tensor, num_classes: int, ignore_index: int) -> list[float]:
    values = []
    for number in range(num_classes):
        kept = labels != ignore_index
        both = ((predicted == number) & (labels == number) & kept).sum()
        either = (((predicted == number) | (labels == number)) & kept).sum()
        values.append(float(both) / float(either) if either else float("nan"))
    return values


def test_equals_the_plain_formula():
    scores = LabelScores(4, 9)
    scores.add(PREDICTED[:1], LABELS[:1])
    scores.add(PREDICTED[1:], LABELS[1:])
    expected = plain_iou(PREDICTED, LABELS, 4, 9)
    assert scores.miou()[0] == pytest.approx(np.nanmean(expected))
    assert scores.pixel_accuracy()[0] == pytest.approx(8 / 10)
    assert scores.confusion.tolist() == [[2, 1, 0, 0, 0], [0, 3, 0, 0, 0], [1, 0, 3, 0, 0], [0, 0, 0, 0, 0]]
    assert scores.count == 2


def test_equals_torchmetrics():
    classification = pytest.importorskip("torchmetrics.functional.classification", reason="needs torchmetrics")
    labels, predicted = torch.randint(0, 6, (2, 4, 16, 16))
    scores = LabelScores(5, 5)
    predicted = predicted.clamp_max(4)
    scores.add(predicted, labels)
    theirs = classification.multiclass_jaccard_index(predicted, labels, 5, ignore_index=5)
    assert scores.miou()[0] == pytest.approx(float(theirs), rel=1e-5)


def test_a_class_that_is_not_scored_is_a_mistake():
    scores = LabelScores(2, 9)
    scores.add(torch.tensor([[[0, 1, 2, 5]]]), torch.tensor([[[0, 0, 0, 1]]]))
    assert scores.confusion.tolist() == [[1, 1, 1], [0, 0, 1]]
    assert scores.miou()[0] == pytest.approx((1 / 3 + 0) / 2)
    assert scores.pixel_accuracy()[0] == pytest.approx(1 / 4)


def test_interval_shrinks_with_images():
    labels = torch.randint(0, 3, (200, 4, 4))
    predicted = torch.where(torch.rand(labels.shape) < 0.7, labels, 0)
    widths = []
    for count in (20, 200):
        scores = LabelScores(3, 9)
        scores.add(predicted[:count], labels[:count])
        value, interval = scores.miou()
        assert interval is not None
        assert interval[0] < value < interval[1]
        widths.append(interval[1] - interval[0])
    assert widths[1] < widths[0] / 2


@pytest.mark.parametrize(
    ("predicted", "labels", "message"),
    [
        (PREDICTED, LABELS[:1], r"labels: got torch.int64 of shape \(1, 2, 3\) for predictions of \(2, 2, 3\)"),
        (PREDICTED, LABELS.float(), "got torch.float32"),
        (PREDICTED, LABELS + 1, r"labels: got \[1, 2, 3, 10\], expected 0 to 2, or 9 to be ignored"),
    ],
)
def test_labels_are_checked(predicted, labels, message):
    with pytest.raises(MetricError, match=message):
        LabelScores(3, 9).add(predicted, labels)


def test_no_images():
    with pytest.raises(MetricError, match="labels: got no images"):
        LabelScores(3, 9).miou()


class ByBrightness(nn.Module):
    """Logits of three classes at half the size: black, white, and one that never wins."""

    def forward(self, images):
        gray = images[:, :1, ::2, ::2]
        return torch.cat([1 - gray, gray, gray - 9], 1)


def test_network_brings_logits_to_the_size_of_the_labels():
    images = torch.full((1, 3, 8, 8), -1.0)
    images[..., 4:] = 1
    network = SegmentationNetwork("brightness", ByBrightness(), num_classes=2, ignore_index=255)
    expected = (torch.arange(16) >= 8).long().expand(1, 16, 16)
    assert network(images, (16, 16)).equal(expected)
    with pytest.raises(MetricError, match="brightness: got an output of shape"):
        SegmentationNetwork("brightness", ByBrightness(), num_classes=4, ignore_index=255)(images, (8, 8))


def test_real_photos_score_as_known(shared_data):
    """The known scores of all 233 photos are 0.535 and 0.845."""
    folder = shared_data / "camvid_256x192" / "test"
    paths = sorted((folder / "images").iterdir())[::9]
    file = NetworkFile(shared_data / "nets" / "espnet_camvid.ts.pt")
    network = SegmentationNetwork("espnet", file, num_classes=11, ignore_index=11, size=(360, 480))
    scores = LabelScores(11, 11)
    for path in paths:
        image = torch.from_numpy(np.array(Image.open(path))).permute(2, 0, 1).unsqueeze(0)
        labels = torch.from_numpy(np.array(Image.open(folder / "labels" / f"{path.stem}.png"))).long().unsqueeze(0)
        scores.add(network(image, (192, 256)), labels)
    assert scores.miou()[0] == pytest.approx(0.535, abs=0.03)
    assert scores.pixel_accuracy()[0] == pytest.approx(0.845, abs=0.02)
