"""Measuring one generator after the other, against real images and against a teacher's."""

from __future__ import annotations

import logging
import warnings
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from PIL import Image
from torch import nn

from gancompress.data import parse_data
from gancompress.data.kinds.procedural import ProceduralSet
from gancompress.errors import MetricError
from gancompress.evaluation import SEGMENTATION_PROTOCOLS, FeatureNetwork, SegmentationProtocol
from gancompress.steps.evaluation import Evaluation
from gancompress.steps.metric_options import MetricOptions
from gancompress.steps.step import Context
from gancompress.steps.stopwatch import Stopwatch
from gancompress.tasks import find_task
from tests.data.pictures import save


class Brighter(nn.Module):
    """Adds a constant to its input."""

    def __init__(self, amount: float) -> None:
        super().__init__()
        self.amount = amount
        self.num_images = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.num_images += len(x)
        return x + self.amount


def context_of(data: dict, folder: Path) -> Context:
    return Context(find_task("paired"), parse_data(data), None, folder, Accelerator(cpu=True), log=None)  # type: ignore[arg-type]


PROCEDURAL = {"kind": "procedural", "image_size": 16, "num_images": {"train": 1, "search": 8, "test": 8}}


@pytest.fixture
def context(tmp_path) -> Context:
    return context_of(PROCEDURAL, tmp_path)


def network(folder: Path, name: str, module: nn.Module) -> dict:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of TorchScript itself
        torch.jit.script(module).save(str(folder / name))
    return {"pool": {"path": str(folder / name), "size": [16, 16]}}


@pytest.fixture
def options(tmp_path) -> MetricOptions:
    networks = network(tmp_path, "pool.ts.pt", nn.Sequential(nn.AvgPool2d(8), nn.Flatten()))
    return MetricOptions(networks=networks, batch_size=3, reference_folder=str(tmp_path / "references"))


@pytest.fixture
def seen_by_networks(monkeypatch) -> list[int]:
    """How many images every call of a feature network got."""
    counts: list[int] = []
    call = FeatureNetwork.__call__
    monkeypatch.setattr(
        FeatureNetwork, "__call__", lambda self, x, *names: (counts.append(len(x)), call(self, x, *names))[1]
    )
    return counts


def measured(options: MetricOptions, context: Context, names=("fd_pool",), split="test") -> list[float]:
    return [result.value for result in Evaluation(options, names, context, split).of(Brighter(0.1))]


def test_the_reference_is_prepared_once_and_serves_every_generator(context, options):
    names = ("fd_pool", "psnr")
    evaluation = Evaluation(options, names, context, "test")
    first, second = Brighter(0.0), Brighter(-0.5)
    together = [[result.value for result in evaluation.of(network)] for network in (first, second, first)]
    apart = [
        [result.value for result in Evaluation(options, names, context, "test").of(network)]
        for network in (first, second)
    ]
    assert together == [apart[0], apart[1], apart[0]]
    assert apart[0] != apart[1]


def test_a_teacher_takes_the_place_of_the_real_images(context, options):
    evaluation = Evaluation(options, ("fd_pool", "psnr"), context, "test", teacher=Brighter(0.0))
    distance, psnr = evaluation.of(Brighter(0.0))
    assert distance.value == pytest.approx(0, abs=1e-6)
    assert psnr.value > 60
    assert "the teacher's images" in distance.protocol
    assert distance.num_images == 8
    assert evaluation.of(Brighter(-0.5))[1].value < psnr.value


def test_a_metric_without_its_network_is_refused(context, options):
    with pytest.raises(MetricError, match="got no network 'mobilenet', expected one that is given"):
        Evaluation(options, ("fd_mobilenet",), context, "test")


def test_features_of_real_images_are_computed_once_for_all_runs(context, options, seen_by_networks):
    first = measured(options, context)
    assert sum(seen_by_networks) == 8 + 8  # real and generated
    seen_by_networks.clear()
    assert measured(options, context) == first
    assert sum(seen_by_networks) == 8  # generated alone
    seen_by_networks.clear()
    assert measured(options, context, names=("kd_pool", "fd_pool"))[1] == pytest.approx(first[0], abs=1e-9)
    assert sum(seen_by_networks) == 8  # features were kept, as there are few
    assert len(list(Path(str(options.reference_folder)).iterdir())) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"image_size": 32},
        {"seed": 1},
        {"num_images": {"train": 1, "search": 8, "test": 7}},
        "split",
        "max_images",
        "network",
        "drawing",
    ],
)
def test_what_changes_the_features_makes_a_new_entry(context, options, tmp_path, monkeypatch, change):
    measured(options, context)
    split = "test"
    if isinstance(change, dict):
        context = context_of({**PROCEDURAL, **change}, tmp_path)
    elif change == "split":
        split = "search"
    elif change == "max_images":
        options = options.model_copy(update={"max_images": 5})
    elif change == "network":
        networks = network(tmp_path, "other.ts.pt", nn.Sequential(nn.MaxPool2d(8), nn.Flatten()))
        options = MetricOptions(networks=networks, reference_folder=options.reference_folder)
    else:
        draw = ProceduralSet._draw
        monkeypatch.setattr(ProceduralSet, "_draw", lambda *a: {role: 255 - x for role, x in draw(*a).items()})
    measured(options, context, split=split)
    assert len(list(Path(str(options.reference_folder)).iterdir())) == 2


def pictures(folder: Path, count: int = 6) -> Path:
    folder.mkdir(parents=True)
    for i in range(count):
        Image.effect_noise((40, 20), 10 * i + 10).convert("RGB").save(folder / f"{i}.png")
    return folder


def aligned(root: Path, **others) -> dict:
    transform = {"resize": "none", "crop_size": 16}
    return {
        "kind": "aligned",
        "root": str(root),
        "transform": transform,
        "splits": {"test": {"folder": "test"}},
        **others,
    }


def test_files_are_found_again_in_another_place_and_a_changed_one_is_not(options, tmp_path, seen_by_networks):
    folder = pictures(tmp_path / "here" / "test")
    first = measured(options, context_of(aligned(tmp_path / "here"), tmp_path))
    (tmp_path / "there").mkdir()
    with zipfile.ZipFile(tmp_path / "there" / "set.zip", "w") as archive:
        for path in sorted(folder.iterdir()):
            archive.write(path, f"test/{path.name}")
    seen_by_networks.clear()
    assert measured(options, context_of(aligned(tmp_path / "there" / "set.zip"), tmp_path)) == first
    assert sum(seen_by_networks) == 6

    for data in (aligned(tmp_path / "here", transform={"resize": "none", "crop_size": 18}),
                 aligned(tmp_path / "here", direction="BtoA")):  # fmt: skip
        seen_by_networks.clear()
        measured(options, context_of(data, tmp_path))
        assert sum(seen_by_networks) == 12
    Image.effect_noise((40, 20), 99).convert("RGB").save(folder / "5.png")
    seen_by_networks.clear()
    measured(options, context_of(aligned(tmp_path / "here"), tmp_path))
    assert sum(seen_by_networks) == 12


def test_a_damaged_entry_is_computed_again_with_a_warning(context, options, caplog):
    first = measured(options, context)
    (entry,) = Path(str(options.reference_folder)).iterdir()
    entry.write_bytes(entry.read_bytes()[:50])
    with caplog.at_level(logging.WARNING):
        assert measured(options, context) == first
    assert "damaged" in caplog.text


def test_a_teachers_images_are_not_kept_between_runs(context, options):
    Evaluation(options, ("fd_pool",), context, "test", teacher=Brighter(0.0)).of(Brighter(0.1))
    assert not Path(str(options.reference_folder)).exists()


@pytest.mark.parametrize(("memory_gib", "passes"), [(1.0, 1), (0.0, 3)])
def test_images_are_decoded_once_while_they_fit_into_memory(context, options, monkeypatch, memory_gib, passes):
    drawn = []
    draw = ProceduralSet._draw
    monkeypatch.setattr(ProceduralSet, "_draw", lambda self, index: (drawn.append(index), draw(self, index))[1])
    teacher = Brighter(0.0)
    evaluation = Evaluation(
        options.model_copy(update={"memory_gib": memory_gib}), ("psnr",), context, "test", teacher=teacher
    )
    values = [evaluation.of(Brighter(0.1))[0].value for _ in range(3)]
    assert values == [values[0]] * 3
    assert drawn == [*range(8)] * passes
    assert teacher.num_images == 8 * passes


def test_the_stopwatch_is_told_where_the_time_goes(context, options):
    watch = Stopwatch()
    evaluation = Evaluation(options, ("fd_pool", "psnr"), context, "test", stopwatch=watch)
    evaluation.of(Brighter(0.0))
    assert set(watch.take()) == {"reference", "loading", "generation", "features", "distance"}
    evaluation.of(Brighter(0.0))
    assert set(watch.take()) == {"loading", "generation", "features", "distance"}
    assert watch.take() == {}


def test_data_without_targets_is_refused_where_real_images_are_wanted(options, tmp_path):
    pictures(tmp_path / "here" / "test")
    data = {"kind": "images", "root": str(tmp_path / "here"), "transform": {"resize": "none"},
            "splits": {"test": {"folder": "test"}}}  # fmt: skip
    with pytest.raises(MetricError, match="test: got a data set without targets, expected real images"):
        measured(options, context_of(data, tmp_path))


class Bright(nn.Module):
    """Logits of two classes: dark and bright."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        gray = images.mean(1, keepdim=True)
        return torch.cat([1 - gray, gray], 1)


def test_a_published_protocol_reads_label_maps_in_the_size_of_their_files(tmp_path, monkeypatch):
    """A stripe that the images are too small for counts where the files are as large as the protocol wants them."""
    labels = np.full((32, 32), 7, np.uint8)
    labels[:, 1::4] = 26  # which resizing to a quarter drops
    save(tmp_path / "test/labels/a.png", labels)
    save(tmp_path / "test/images/a.png", np.zeros((32, 32, 3), np.uint8))
    monkeypatch.setitem(SEGMENTATION_PROTOCOLS, "cityscapes_drn", SegmentationProtocol(35, (7, 26), in_file_size=True))
    data = {"kind": "labels", "root": str(tmp_path), "classes": {"num_classes": 35}, "transform": {"load_size": 8}}
    data |= {"splits": {"test": {"folder": "test"}}}
    context = replace(context_of(data, tmp_path), task=find_task("semantic", parse_data(data)))
    path = network(tmp_path, "bright.pt", Bright())["pool"]["path"]
    options = MetricOptions(networks={"drn": {"path": path, "protocol": "cityscapes_drn"}})
    (accuracy,) = Evaluation(options, ["pixel_accuracy_drn"], context, "test").of(Dark())
    assert accuracy.value == 0.75
    assert next(iter(context.images("test", 1)))["label"].unique().tolist() == [7]


class Dark(nn.Module):
    """A black image for any channels."""

    def forward(self, channels: torch.Tensor) -> torch.Tensor:
        assert channels.shape[1:] == (36, 8, 8)
        return -torch.ones_like(channels[:, :3])
