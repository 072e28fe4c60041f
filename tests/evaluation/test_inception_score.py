"""The score against its formula, its bounds, another implementation, and a real classifier on real images."""

from __future__ import annotations

import io
import math
import pickle
import warnings
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from gancompress.errors import CheckpointError, MetricError
from gancompress.evaluation import Classifier, ClassScores, Evaluator, NetworkSpec, load_classifier
from gancompress.evaluation.inception_score import NUM_SPLITS
from gancompress.perception.inception import FidInception


def random_probabilities(num_images: int, num_classes: int, seed: int = 0) -> Tensor:
    logits = 3 * torch.randn(num_images, num_classes, generator=torch.Generator().manual_seed(seed))
    return logits.double().softmax(1)


def score_of(probabilities: Tensor, batch_size: int = 7) -> tuple[float, tuple[float, float] | None]:
    scores = ClassScores()
    for batch in probabilities.split(batch_size):
        scores.add(batch)
    return scores.inception_score()


def by_the_formula(probabilities: Tensor) -> float:
    """exp of the mean divergence from the mean, split by split, written out."""
    scores = []
    for split in range(NUM_SPLITS):
        part = probabilities[split::NUM_SPLITS].numpy()
        divergences = [
            sum(p * (math.log(p) - math.log(q)) for p, q in zip(row, part.mean(0), strict=True)) for row in part
        ]
        scores.append(math.exp(np.mean(divergences)))
    return float(np.mean(scores))


@pytest.mark.parametrize("batch_size", [1, 7, 53])
def test_the_formula_whatever_the_batches(batch_size):
    probabilities = random_probabilities(53, 4)
    assert score_of(probabilities, batch_size)[0] == pytest.approx(by_the_formula(probabilities), rel=1e-12)


def test_two_images_a_split_by_hand():
    """Sure of one class each, half of them of either: the mean is (1/2, 1/2), each divergence is log 2."""
    sure = torch.eye(2).double()[[0] * NUM_SPLITS + [1] * NUM_SPLITS]
    assert score_of(sure)[0] == pytest.approx(2)


def test_bounds():
    num_classes = 7
    one_of_each = torch.eye(num_classes).double().repeat_interleave(NUM_SPLITS, 0)
    assert score_of(one_of_each)[0] == pytest.approx(num_classes)
    assert score_of(torch.full((20, num_classes), 1 / num_classes))[0] == pytest.approx(1)
    assert score_of(torch.eye(num_classes)[[3] * 40])[0] == pytest.approx(1)
    assert 1 < score_of(random_probabilities(200, num_classes))[0] < num_classes


def test_images_in_the_order_of_their_classes_lose_nothing():
    in_order = torch.eye(4).double().repeat_interleave(50, 0)
    assert score_of(in_order)[0] == pytest.approx(4)


def test_equals_torchmetrics():
    inception = pytest.importorskip("torchmetrics.image.inception", reason="needs torchmetrics")
    logits = torch.randn(60, 5, generator=torch.Generator().manual_seed(0))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of the memory that it takes, and of a single split
        metric = inception.InceptionScore(feature=nn.Identity(), splits=1)
        metric.update(logits)
        theirs = float(metric.compute()[0])
    every_split_sees_all = logits.double().softmax(1).repeat_interleave(NUM_SPLITS, 0)
    assert score_of(every_split_sees_all)[0] == pytest.approx(theirs, rel=1e-5)


def test_processes_together():
    probabilities = random_probabilities(40, 3)
    first, second = ClassScores(), ClassScores()
    first.add(probabilities[:20])
    second.add(probabilities[20:])
    first.merge(pickle.loads(pickle.dumps(second)))
    assert first.count == 40
    assert first.inception_score()[0] == pytest.approx(score_of(probabilities)[0], rel=1e-12)
    with pytest.raises(MetricError, match="inception score: got 4 classes after 3, expected as many"):
        first.add(random_probabilities(2, 4))


def test_too_few_images():
    with pytest.raises(MetricError, match="inception score: got 9 images, expected at least 10"):
        score_of(random_probabilities(9, 3))
    with pytest.raises(MetricError, match="inception score: got 0 images"):
        ClassScores().inception_score()


class Colours(nn.Module):
    """Features, and as logits how red, green and blue an image is."""

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        return images.flatten(1), 50 * images.mean((2, 3))


class Broken(nn.Module):
    """Logits that are not numbers."""

    def forward(self, images: Tensor) -> Tensor:
        return torch.full((len(images), 3), torch.nan)


@pytest.fixture(scope="module")
def colours(tmp_path_factory) -> NetworkSpec:
    path = tmp_path_factory.mktemp("networks") / "colours.pt"
    with pytest.warns(DeprecationWarning, match="torch.jit"):
        torch.jit.save(torch.jit.trace(Colours(), torch.rand(2, 3, 8, 8)), path)
    return NetworkSpec(path, (8, 8))


def test_the_evaluator_takes_the_last_output_and_forgets_on_reset(colours):
    evaluator = Evaluator(["is_colours"], {"colours": colours})
    pure = torch.eye(3)[torch.arange(60) // 20].view(60, 3, 1, 1).expand(-1, -1, 16, 16) * 2 - 1
    for batch in pure.split(17):
        evaluator.add(batch)
    (result,) = evaluator.results()
    assert result.value == pytest.approx(3, rel=1e-3)
    assert (result.num_images, result.num_reference_images, result.better) == (60, 0, "higher")
    assert result.protocol.startswith("Inception Score, mean over 10 splits")
    assert "against" not in result.protocol
    assert "colours classes, 8x8 (width x height), 8 bits rounded to nearest" in result.protocol
    assert not evaluator.feature_networks

    evaluator.reset()
    evaluator.add(pure[:20])
    assert evaluator.results()[0].value == pytest.approx(1)


def test_inception_with_its_classifier(tmp_path):
    state = FidInception().state_dict() | {"fc.weight": 20 * torch.randn(5, 2048), "fc.bias": torch.full((5,), 1e3)}
    torch.save(state, tmp_path / "inception.pth")
    evaluator = Evaluator(["inception_score"], {"inception": NetworkSpec(tmp_path / "inception.pth")})
    images = torch.rand(10, 3, 299, 299) * 2 - 1
    evaluator.add(images)
    (result,) = evaluator.results()
    assert result.value == pytest.approx(1)  # one image a split
    assert "inception classes, 299x299 (width x height), 8 bits rounded down" in result.protocol
    classifier = load_classifier("inception", NetworkSpec(tmp_path / "inception.pth"), resizing="paper")
    features = classifier.network.features(images[:2])
    torch.testing.assert_close(classifier.network(images[:2]), nn.functional.linear(features, state["fc.weight"]))

    del state["fc.weight"]
    torch.save(state, tmp_path / "headless.pth")
    with pytest.raises(CheckpointError, match=r"headless.pth: found no 'fc.weight'"):
        load_classifier("inception", NetworkSpec(tmp_path / "headless.pth"))


def test_what_is_no_classifier():
    images = torch.zeros(2, 3, 8, 8)
    with pytest.raises(MetricError, match=r"maps: got an output of shape \(2, 3, 8, 8\) for 2 images, expected logits"):
        Classifier("maps", nn.Identity())(images)
    with pytest.raises(MetricError, match="broken: got logits that are not finite"):
        Classifier("broken", Broken())(images)


def test_a_real_classifier_tells_photos_from_noise(shared_data):
    network = NetworkSpec(shared_data / "nets" / "resnet56_cifar10.ts.pt", (32, 32))
    with zipfile.ZipFile(shared_data / "cifar10_jpeg_30k.zip") as file:
        names = sorted(name for name in file.namelist() if name.startswith("test/"))[::20]
        photos = [np.array(Image.open(io.BytesIO(file.read(name))).convert("RGB")) for name in names]
    real = torch.from_numpy(np.stack(photos)).permute(0, 3, 1, 2)
    noise = torch.randint(0, 256, real.shape, dtype=torch.uint8)
    values = []
    for images in (real, noise):
        evaluator = Evaluator(["is_resnet"], {"resnet": network})
        evaluator.add(images)
        values.append(evaluator.results()[0].value)
    assert 1 < values[1] < 2 < 7 < values[0] < 10
