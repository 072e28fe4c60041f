from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from gancompress.errors import CheckpointError, MetricError
from gancompress.evaluation import (
    METRICS,
    Evaluator,
    FeatureNetwork,
    FrechetReference,
    NetworkSpec,
    Statistics,
    find_metric,
    kernel_distance,
    load_classifier,
    load_feature_network,
    psnr,
    read_statistics,
)
from gancompress.perception.inception import FidInception


class Tiny(nn.Module):
    """Features of the mean colour and its square; serves as feature, perceptual and segmentation network."""

    def __init__(self, output: str) -> None:
        super().__init__()
        self.output = output

    def forward(self, x):
        if self.output == "features":
            means = x.mean((2, 3))
            return torch.cat([means, means**2], 1)
        return x * 2 if self.output == "segments" else (x, x[:, :, ::2, ::2])


@pytest.fixture(scope="module")
def networks(tmp_path_factory) -> dict[str, NetworkSpec]:
    folder = tmp_path_factory.mktemp("networks")
    sizes = {"features": (16, 16), "maps": None, "segments": (12, 12)}
    for name in sizes:
        with pytest.warns(DeprecationWarning, match="torch.jit"):
            torch.jit.save(torch.jit.trace(Tiny(name), torch.rand(2, 3, 8, 8)), folder / f"{name}.pt")
    specs = {name: NetworkSpec(folder / f"{name}.pt", size) for name, size in sizes.items()}
    segments = NetworkSpec(folder / "segments.pt", (12, 12), num_classes=3, ignore_index=7)
    return {**specs, "segments": segments}


IMAGES, REAL = torch.rand(2, 10, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
LABELS = torch.randint(0, 3, (10, 16, 16), generator=torch.Generator().manual_seed(0))
OFFLINE = [
    *("fd_features", "kd_features", "precision_features", "recall_features"),
    *("miou_segments", "pixel_accuracy_segments", "psnr", "ssim", "perceptual_maps"),
]


def filled(networks, names=OFFLINE, part=slice(None)) -> Evaluator:
    evaluator = Evaluator(names, networks)
    evaluator.add_reference(REAL[part])
    for start in range(0, len(IMAGES[part]), 4):
        batch = slice(start, start + 4)
        evaluator.add(IMAGES[part][batch], REAL[part][batch], LABELS[part][batch])
    return evaluator


def test_one_pass_gives_every_metric(networks):
    results = {result.name: result for result in filled(networks).results()}
    assert list(results) == OFFLINE
    network = load_feature_network("features", networks["features"])
    x, y = network(IMAGES), network(REAL)
    frechet = FrechetReference(Statistics.of(x).gaussian()).distance(Statistics.of(y).gaussian())
    assert results["fd_features"].value == pytest.approx(frechet, rel=1e-6)
    assert results["fd_features"].interval is None
    assert results["kd_features"].value == pytest.approx(kernel_distance(x, y)[0], rel=1e-6)
    assert results["psnr"].value == pytest.approx(float(psnr(IMAGES, REAL).mean()))
    for result in results.values():
        assert (result.num_images, result.num_reference_images) == (10, 10)
        assert json.loads(json.dumps(result.to_json()))["value"] == result.value
        if result.interval:
            assert result.interval[0] <= result.value <= result.interval[1]
    assert results["fd_features"].protocol == (
        "Frechet distance; against real images; features features, 16x16 (width x height), "
        "8 bits rounded to nearest, antialiased bicubic"
    )
    assert "label 7 ignored" in results["miou_segments"].protocol
    assert str(results["psnr"]).startswith("psnr ")


def test_metrics_share_a_pass_through_their_network(networks):
    evaluator = Evaluator(["fd_features", "kd_features", "recall_features"], networks)
    assert list(evaluator.feature_networks) == ["features_clean"]
    assert not evaluator.needs_targets
    assert not evaluator.needs_labels
    calls = []
    network = evaluator.feature_networks["features_clean"].network
    network.register_forward_hook(lambda *_: calls.append(1))
    evaluator.add(IMAGES)
    assert calls == [1]


def test_reset_keeps_the_reference(networks):
    evaluator = filled(networks)
    first = [result.value for result in evaluator.results()]
    evaluator.reset()
    with pytest.raises(MetricError, match="features: got no generated images, expected at least two"):
        evaluator.results()
    evaluator.add(IMAGES, REAL, LABELS)
    assert [result.value for result in evaluator.results()] == pytest.approx(first, rel=1e-6)


def test_unneeded_features_are_not_kept(networks):
    evaluator = filled(networks, ["fd_features"])
    assert evaluator._sets["features_clean"].generated.features is None


def test_fid_is_over_inception_and_its_two_resizings_differ(tmp_path, networks):
    torch.manual_seed(0)
    torch.save(FidInception().state_dict(), tmp_path / "inception.pth")
    given = {"inception": NetworkSpec(tmp_path / "inception.pth")}
    evaluator = Evaluator(["fid", "fid_clean", "kid"], given)
    evaluator.add_reference(REAL[:2])
    evaluator.add(IMAGES[:2])
    fid, clean, kid = evaluator.results()
    assert set(evaluator.feature_networks) == {"inception_paper", "inception_clean"}
    assert fid.value != clean.value
    assert "inception features, 299x299 (width x height), 8 bits rounded down, bilinear without" in fid.protocol
    assert "antialiased bicubic" in clean.protocol
    assert kid.interval is not None


def test_inception_offline(monkeypatch, tmp_path):
    monkeypatch.setenv("GANCOMPRESS_CACHE", str(tmp_path))
    monkeypatch.setattr("urllib.request.urlopen", raise_offline)
    with pytest.raises(CheckpointError, match=f"get it on another machine and put it at {tmp_path}"):
        Evaluator(["fid"])


def raise_offline(*_, **__):
    raise OSError("Network is unreachable")


def test_stored_statistics_as_reference(networks, tmp_path):
    network = load_feature_network("features", networks["features"])
    gaussian = Statistics.of(network(REAL)).gaussian()
    np.savez(tmp_path / "real.npz", mu=gaussian.mean, sigma=gaussian.covariance)
    evaluator = Evaluator(["fd_features", "kd_features"], networks)
    evaluator.use_reference("features_clean", read_statistics(tmp_path / "real.npz"))
    evaluator.add(IMAGES)
    with pytest.raises(
        MetricError, match="got stored mean and covariance as reference, expected images for the kernel"
    ):
        evaluator.results()
    evaluator = Evaluator(["fd_features"], networks)
    (key,) = evaluator.feature_networks
    evaluator.use_reference(key, read_statistics(tmp_path / "real.npz"))
    evaluator.add(IMAGES)
    (result,) = evaluator.results()
    assert result.value == pytest.approx(filled(networks, ["fd_features"]).results()[0].value, rel=1e-6)
    assert result.num_reference_images is None
    with pytest.raises(MetricError, match=r"reference: got the network 'featurs', .* did you mean 'features_clean'\?"):
        evaluator.use_reference("featurs", gaussian)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (None, "FileNotFoundError"),
        ({"mu": np.zeros(3)}, "KeyError"),
        ({"mu": np.zeros(3), "sigma": np.eye(2)}, "shape"),
    ],
)
def test_statistics_that_cannot_be_read(arrays, message, tmp_path):
    if arrays is not None:
        np.savez(tmp_path / "real.npz", **arrays)
    with pytest.raises(MetricError, match=message):
        read_statistics(tmp_path / "real.npz")


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_is_found_by_its_name(name):
    metric, network = find_metric(name.replace("{network}", "mobilenetv2"), ["mobilenetv2"])
    assert metric is METRICS[name]
    assert network == ("mobilenetv2" if "{" in name else None)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("fidd", r"metric: got 'fidd', expected a known one; did you mean 'fid'\?"),
        ("fd_mobilnetv2", r"metric fd_mobilnetv2: got no network 'mobilnetv2'.*did you mean 'mobilenetv2'\?"),
        ("fd_{network}", "got no network '{network}'"),
    ],
)
def test_unknown_names(name, message):
    with pytest.raises(MetricError, match=message):
        find_metric(name, ["mobilenetv2"])


def test_a_network_that_is_not_given():
    with pytest.raises(MetricError, match="got no network 'mobilenetv2', expected one that is given; name its file"):
        Evaluator(["fd_mobilenetv2"])


def test_what_images_must_come_with(networks):
    with pytest.raises(MetricError, match="psnr, ssim: got images without targets"):
        Evaluator(["psnr", "ssim"]).add(IMAGES)
    segmentation = Evaluator(["miou_segments"], networks)
    with pytest.raises(MetricError, match="miou_segments: got images without labels"):
        segmentation.add(IMAGES)
    with pytest.raises(MetricError, match=r"segments: got label maps of shape \(10, 1, 16, 16\) for 10 images"):
        segmentation.add(IMAGES, labels=LABELS.unsqueeze(1))
    with pytest.raises(MetricError, match="segments: got no number of classes"):
        Evaluator(["miou_segments"], {"segments": NetworkSpec(networks["segments"].path)})
    with pytest.raises(MetricError, match="pairs: got no images"):
        Evaluator(["psnr"]).results()


def test_networks_that_do_not_return_features(networks):
    evaluator = Evaluator(["kd_features"], networks)
    evaluator.add(IMAGES)
    with pytest.raises(
        MetricError, match="got features of 10 generated and 0 reference images for the kernel distance"
    ):
        evaluator.results()
    network = FeatureNetwork("flat", nn.Flatten(0), None, "clean", "")
    with pytest.raises(MetricError, match="flat: got an output of shape"):
        network(IMAGES)
    pooled = FeatureNetwork("pooled", nn.Identity(), None, "clean", "")
    assert pooled(IMAGES).shape == (10, 3)
    for load in (load_feature_network, load_classifier):
        with pytest.raises(MetricError, match="fd: got no file"):
            load("fd")
        with pytest.raises(MetricError, match="got resizing 'sharp'"):
            load("fd", networks["features"], resizing="sharp")


@pytest.mark.parametrize(
    ("name", "size"), [("mobilenetv2_imagenet_pool1280", (224, 224)), ("resnet56_cifar10", (32, 32))]
)
def test_real_photos_over_real_networks(name, size, shared_data):
    folder: Path = shared_data / "camvid_256x192" / "test" / "images"
    paths = sorted(folder.iterdir())[::24]
    photos = torch.stack([torch.from_numpy(np.array(Image.open(path))) for path in paths]).permute(0, 3, 1, 2)
    evaluator = Evaluator([f"fd_{name}"], {name: NetworkSpec(shared_data / "nets" / f"{name}.ts.pt", size)})
    evaluator.add_reference(photos)
    evaluator.add(photos)
    same = evaluator.results()[0].value
    evaluator.reset()
    evaluator.add(nn.functional.avg_pool2d(photos.float() / 127.5 - 1, 9, 1, 4))
    blurred = evaluator.results()[0].value
    assert abs(same) < 1e-6 * blurred
