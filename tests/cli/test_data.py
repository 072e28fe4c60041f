"""Looking at label maps before anything is trained on them, and exporting what takes them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from gancompress.errors import ConfigError, DataError
from gancompress.networks.generator import Generator
from gancompress.networks.registry import build
from tests.data.pictures import save

from .verbs import run


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    labels = np.array([[0, 0, 0, 1]] * 4, np.uint8)
    for split, last in (("train", 255), ("val", 1), ("test", 1)):
        for number in range(2):
            labels[:, 3] = last
            save(tmp_path / f"{split}/labels/{number}.png", labels)
            save(tmp_path / f"{split}/images/{number}.png", np.zeros((4, 4, 3), np.uint8))
    data = {
        "kind": "labels",
        "root": str(tmp_path),
        "classes": {"num_classes": 2, "names": ["road", "car"]},
        "transform": {"resize": "none"},
        "splits": {"train": {"folder": "train"}, "search": {"folder": "val"}, "test": {"folder": "test"}},
    }
    path = tmp_path / "own.yaml"
    steps = [{"kind": "finetune"}]
    path.write_text(json.dumps({"name": "own", "task": "semantic", "data": data, "steps": steps}))
    changed = json.loads(path.read_text()) | {"teacher": {"checkpoint": "later"}}
    path.write_text(json.dumps(changed))
    return path


def test_how_much_there_is_of_each_class(recipe: Path):
    found = json.loads(run("data", recipe, "--json"))
    assert {split: each["images"] for split, each in found.items()} == {"train": 2, "search": 2, "test": 2}
    assert found["train"]["shares"] == {"road": 0.75, "car": 0, "don't care": 0.25}
    assert found["test"]["shares"] == {"road": 0.75, "car": 0.25, "don't care": 0}
    assert "75.00 %" in run("data", recipe)


def test_a_map_that_does_not_fit_is_named(recipe: Path):
    save(recipe.parent / "val/labels/1.png", np.full((4, 4), 7, np.uint8))
    with pytest.raises(DataError, match=r"val/labels/1.png: got label 7, expected 0 to 1 or one of ignore \[255\]"):
        run("data", recipe)


def test_export_of_label_maps_as_input(tmp_path: Path):
    config = {"ngf": 2, "in_channels": 4, "num_blocks": 1}  # quicker to export than a SPADE network
    Generator.from_module(build("resnet", config), "resnet", config).save(tmp_path / "net")
    with pytest.raises(ConfigError, match="labels: got 9 for a network of 4 channels, expected that number, or"):
        run("export", tmp_path / "net", "--labels", 9, "--size", "16x16")
    pytest.importorskip("onnxruntime", reason="exports to ONNX, which is not installed")
    exported = json.loads(
        run("export", tmp_path / "net", "--labels", 3, "--size", "16x16", "--format", "onnx_fixed", "--json")
    )
    assert exported["cases"][0]["input_shapes"] == [[1, 16, 16], [1, 16, 16]]
    assert exported["max_difference"] < 1e-4


def test_an_array_that_does_not_fit_is_named(tmp_path: Path):
    for number in range(10):
        (tmp_path / "mels").mkdir(exist_ok=True)
        np.save(tmp_path / f"mels/{number}.npy", np.zeros((4, 8)))
    data = {"kind": "arrays", "root": str(tmp_path / "mels"), "axes": ["mels", "frames"], "crop": {"frames": 8}}
    recipe = {"name": "own", "task": "imitate", "data": data, "steps": ["finetune"], "teacher": {"checkpoint": "later"}}
    (tmp_path / "own.yaml").write_text(json.dumps(recipe))
    assert json.loads(run("data", tmp_path / "own.yaml", "--json"))["train"]["images"] == 8
    np.save(tmp_path / "mels/7.npy", np.zeros((4, 6)))
    with pytest.raises(DataError, match=r"mels/7\.npy: got 6 frames, expected at least the crop of 8; reduce crop\.fr"):
        run("data", tmp_path / "own.yaml")
