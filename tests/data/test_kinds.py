from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from gancompress.data import DATASETS, DataConfig, ImageSet, Visit, parse_data
from gancompress.data.kinds.labels import LabelledConfig
from gancompress.data.kinds.procedural import ProceduralSet
from gancompress.data.kinds.unaligned import UnalignedConfig
from gancompress.errors import ConfigError, DataError
from tests import once
from tests.data.pictures import WHOLE, as_tar, as_zip, pixels, save, save_many

NUM_IMAGES = 5
AS_IT_IS = {"resize": "none"}
LABELS = np.arange(12 * 16, dtype=np.uint8).reshape(12, 16) % 4


def aligned(root: Path) -> dict[str, Any]:
    for number in range(NUM_IMAGES):
        both = np.concatenate([pixels(number), pixels(100 + number)], axis=1)
        save(root / f"train/img{number}.png", both)
    return {}


def paired(root: Path) -> dict[str, Any]:
    save_many(root / "train/input", NUM_IMAGES)
    save_many(root / "train/target", NUM_IMAGES, first=100)
    return {}


def unaligned(root: Path) -> dict[str, Any]:
    save_many(root / "trainA", NUM_IMAGES)
    save_many(root / "trainB", NUM_IMAGES, first=100)
    return {}


def labels(root: Path) -> dict[str, Any]:
    save_many(root / "train/images", NUM_IMAGES, first=100)
    for number in range(NUM_IMAGES):
        save(root / f"train/labels/img{number}.png", (LABELS + number) % 4)
        save(root / f"train/instances/img{number}.png", LABELS.astype(np.uint16) * 1000 + number)
    return {"classes": {"num_classes": 3, "ignore": [3]}, "instances": "{folder}/instances"}


def cityscapes(root: Path) -> dict[str, Any]:
    for number in range(NUM_IMAGES):
        for folder, ending, image in (
            ("leftImg8bit/train/ulm", "leftImg8bit", pixels(100 + number)),
            ("gtFine/train/ulm", "gtFine_labelIds", (LABELS + number) % 4 + 31),
            ("gtFine/train/ulm", "gtFine_instanceIds", LABELS.astype(np.uint16) * 1000 + number),
            ("gtFine/train/ulm", "gtFine_color", pixels(number)),
        ):
            save(root / folder / f"img{number}_{ending}.png", image)
    return {}


def coco_stuff(root: Path) -> dict[str, Any]:
    save_many(root / "train_img", NUM_IMAGES, first=100, suffix=".jpg")
    for number in range(NUM_IMAGES):
        save(root / f"train_label/img{number}.png", np.where(LABELS == 3, 255, LABELS + 179).astype(np.uint8))
        save(root / f"train_inst/img{number}.png", LABELS + number)
    return {}


def images(root: Path) -> dict[str, Any]:
    save_many(root / "train", NUM_IMAGES)
    return {}


def webdataset(root: Path) -> dict[str, Any]:
    for number in range(NUM_IMAGES):
        parts = {
            f"img{number}.png": save(root / "loose" / f"in{number}.png", pixels(number)),
            f"img{number}.b.png": save(root / "loose" / f"out{number}.png", pixels(100 + number)),
        }
        as_tar(root / f"train-{number:03d}.tar", parts)
    return {
        "shards": [f"{{folder}}-{{000..{NUM_IMAGES - 1:03d}}}.tar"],
        "roles": {"input": "jpg;png", "target": "b.png"},
    }


def procedural(root: Path) -> dict[str, Any]:
    return {"image_size": 16, "num_images": {"train": NUM_IMAGES}}


KINDS: dict[str, Callable[[Path], dict[str, Any]]] = {
    make.__name__: make
    for make in (aligned, paired, unaligned, labels, cityscapes, coco_stuff, images, webdataset, procedural)
}


@pytest.fixture(autouse=True)
def _draws_every_scene(monkeypatch) -> None:
    monkeypatch.setattr(ProceduralSet, "_draw", once.draw_scene)


def config_of(kind: str, root: Path, **options: Any) -> DataConfig:
    specific = KINDS[kind](root)
    common: dict[str, Any] = {} if kind == "procedural" else {"root": str(root), "transform": AS_IT_IS}
    if kind != "procedural":
        common["splits"] = WHOLE
    return parse_data({"kind": kind, **common, **specific, **options})


def equal(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return one.keys() == other.keys() and all(
        value.equal(other[role]) if isinstance(value, torch.Tensor) else value == other[role]
        for role, value in one.items()
    )


def as_tensor(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(image).permute(2, 0, 1).float() / 127.5 - 1


def test_every_kind_is_tested() -> None:
    assert KINDS.keys() == {kind for kind, options in DATASETS.items() if options.holds_images}


@pytest.mark.parametrize("kind", KINDS)
class TestEveryKind:
    def test_items_follow_the_documented_format(self, kind: str, tmp_path: Path) -> None:
        dataset = config_of(kind, tmp_path).open("train")
        assert len(dataset) == NUM_IMAGES
        for index in range(NUM_IMAGES):
            item = dataset[index]
            assert item["index"] == index
            assert item.keys() & {"input", "label"}
            for role, value in item.items():
                if role in ("label", "instance"):
                    assert value.dtype == torch.int64
                    assert value.ndim == 2
                elif role not in ("name", "index"):
                    assert value.dtype == torch.float32
                    assert value.shape[0] == 3
                    assert -1 <= value.min() < value.max() <= 1

    def test_augmentation_depends_on_seed_epoch_and_index_alone(self, kind: str, tmp_path: Path) -> None:
        transform = {} if kind == "procedural" else {"transform": {"load_size": 16, "crop_size": 8}}
        config = config_of(kind, tmp_path, **transform)
        one, other = config.open("train", augment=True), config.open("train", augment=True)
        visits = [Visit(index, epoch, seed) for index in range(NUM_IMAGES) for epoch in range(3) for seed in range(2)]
        backwards = {visit: other.item(visit) for visit in reversed(visits)}
        assert all(equal(one.item(visit), backwards[visit]) for visit in visits)
        if kind != "procedural":
            role = "image" if kind in ("labels", "cityscapes", "coco_stuff") else "input"
            assert len({one.item(Visit(0, epoch))[role].double().sum().item() for epoch in range(6)}) > 1

    def test_can_be_sent_to_a_spawned_process(self, kind: str, tmp_path: Path) -> None:
        dataset = config_of(kind, tmp_path).open("train")
        assert equal(pickle.loads(pickle.dumps(dataset))[1], dataset[1])

    def test_there_is_no_item_after_the_last(self, kind: str, tmp_path: Path) -> None:
        dataset = config_of(kind, tmp_path).open("train")
        assert [item["index"] for item in dataset] == list(range(NUM_IMAGES))
        with pytest.raises(IndexError, match="got item -1, expected 0 to 4"):
            dataset[-1]

    def test_without_augmentation_all_epochs_are_alike(self, kind: str, tmp_path: Path) -> None:
        dataset = config_of(kind, tmp_path).open("train")
        assert not dataset.augment
        assert all(equal(dataset.item(Visit(index, 3, 9)), dataset[index]) for index in range(NUM_IMAGES))

    def test_unknown_split(self, kind: str, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="split: got 'trian', expected a known one; did you mean 'train'"):
            config_of(kind, tmp_path).open("trian")

    def test_unknown_option(self, kind: str, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="chache: unknown option, did you mean 'cache'"):
            config_of(kind, tmp_path, chache=None)


@pytest.mark.parametrize("kind", sorted(KINDS.keys() - {"procedural", "webdataset"}))
def test_a_zip_gives_what_its_folder_gives(kind: str, tmp_path: Path) -> None:
    config = config_of(kind, tmp_path / "data")
    plain = config.open("train")
    path = as_zip(tmp_path / "data", tmp_path / "data.zip")
    zipped = parse_data({**config.model_dump(), "root": str(path)}).open("train")
    assert all(equal(zipped[index], plain[index]) for index in range(NUM_IMAGES))


@pytest.mark.parametrize("kind", ["images", "aligned", "paired"])
def test_a_folder_without_folders_of_splits_is_divided_by_names(kind: str, tmp_path: Path) -> None:
    KINDS[kind](tmp_path / "data")
    for path in (tmp_path / "data/train").iterdir():
        path.rename(tmp_path / "data" / path.name)
    (tmp_path / "data/train").rmdir()
    for number in range(NUM_IMAGES, 10):
        for path in list((tmp_path / "data").rglob("img0.png")):
            (path.parent / f"img{number}.png").write_bytes(path.read_bytes())
    config = parse_data({"kind": kind, "root": str(tmp_path / "data"), "transform": AS_IT_IS})
    config.check_splits()
    names = {split: [item["name"] for item in config.open(split)] for split in config.split_names()}
    assert {split: len(found) for split, found in names.items()} == {"train": 8, "search": 1, "test": 1}
    assert len({name for found in names.values() for name in found}) == 10


@pytest.mark.parametrize(
    ("kind", "options"),
    [("aligned", {}), ("paired", {}), ("unaligned", {}), ("webdataset", {})],
)
def test_pixels_of_pairs(kind: str, options: dict[str, Any], tmp_path: Path) -> None:
    dataset = config_of(kind, tmp_path, **options).open("train")
    for number in range(NUM_IMAGES):
        assert dataset[number]["name"] == f"img{number}"
        torch.testing.assert_close(dataset[number]["input"], as_tensor(pixels(number)), rtol=0, atol=1e-6)
        torch.testing.assert_close(dataset[number]["target"], as_tensor(pixels(100 + number)), rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", ["aligned", "paired", "unaligned", "webdataset"])
@pytest.mark.parametrize("cache", [None, {}])
def test_roles_of_other_channels(kind: str, cache: Any, tmp_path: Path) -> None:
    item = config_of(kind, tmp_path, decoding={"channels": {"target": 1}}, cache=cache).open("train")[2]
    grey = np.array(Image.fromarray(pixels(102)).convert("L"))[..., None]
    torch.testing.assert_close(item["input"], as_tensor(pixels(2)), rtol=0, atol=1e-6)
    torch.testing.assert_close(item["target"], as_tensor(grey), rtol=0, atol=1e-6)


def test_direction(tmp_path: Path) -> None:
    there = config_of("aligned", tmp_path).open("train")[2]
    back = config_of("aligned", tmp_path, direction="BtoA").open("train")[2]
    assert there["input"].equal(back["target"])
    assert there["target"].equal(back["input"])


def test_halves_do_not_bleed_into_each_other(tmp_path: Path) -> None:
    black_and_white = np.repeat(np.array([0, 255], np.uint8), 16)[None, :, None] * np.ones((16, 1, 3), np.uint8)
    save(tmp_path / "train/a.png", black_and_white)
    item = parse_data({"kind": "aligned", "splits": WHOLE, "root": str(tmp_path), "transform": {"load_size": 5}}).open(
        "train"
    )[0]
    assert item["input"].unique().tolist() == [-1]
    assert item["target"].unique().tolist() == [1]


def test_odd_width(tmp_path: Path) -> None:
    save(tmp_path / "train/a.png", pixels(0, width=15))
    dataset = parse_data({"kind": "aligned", "splits": WHOLE, "root": str(tmp_path), "transform": AS_IT_IS}).open(
        "train"
    )
    with pytest.raises(DataError, match=r"a.png: got a width of 15 px, expected an even one"):
        dataset[0]


def test_one_view_for_all_images_of_a_pair(tmp_path: Path) -> None:
    """The target is the input itself, so that any difference in crop or flip would show."""
    for folder in ("input", "target"):
        save_many(tmp_path / "train" / folder, 3)
    transform = {"load_size": [20, 30], "crop_size": [7, 9]}
    dataset = parse_data({"kind": "paired", "splits": WHOLE, "root": str(tmp_path), "transform": transform}).open(
        "train", augment=True
    )
    for epoch in range(8):
        item = dataset.item(Visit(1, epoch))
        assert item["input"].equal(item["target"])


def test_labels_move_with_their_image(tmp_path: Path) -> None:
    save(tmp_path / "train/labels/a.png", LABELS)
    save(tmp_path / "train/images/a.png", np.repeat(LABELS[..., None] * 60, 3, axis=2))
    config = {
        "kind": "labels", "splits": WHOLE, "root": str(tmp_path), "classes": {"num_classes": 4},
        "transform": {"resize": "none", "crop_size": [5, 6]},
    }  # fmt: skip
    dataset = parse_data(config).open("train", augment=True)
    for epoch in range(8):
        item = dataset.item(Visit(0, epoch))
        torch.testing.assert_close((item["image"][0] + 1) * 127.5, item["label"] * 60.0)


def test_labels_and_instances(tmp_path: Path) -> None:
    item = config_of("labels", tmp_path).open("train")[1]
    assert item["label"].equal(torch.from_numpy((LABELS + 1) % 4).long())
    assert item["instance"].equal(torch.from_numpy(LABELS.astype(np.int64) * 1000 + 1))
    torch.testing.assert_close(item["image"], as_tensor(pixels(101)))


class TestPublishedLayouts:
    def test_cityscapes(self, tmp_path: Path) -> None:
        config = config_of("cityscapes", tmp_path)
        item = config.open("train")[1]
        assert item["name"] == "ulm/img1"
        assert item["label"].equal(torch.from_numpy((LABELS + 1) % 4).long() + 31)
        assert item["instance"].equal(torch.from_numpy(LABELS).long() * 1000 + 1)
        assert isinstance(config, LabelledConfig)
        names, colours = config.classes.shown_names, config.classes.shown_colours
        assert (names[7], colours[7], names[33]) == ("road", (128, 64, 128), "bicycle")

    def test_splits_by_default(self, tmp_path: Path) -> None:
        config = parse_data({"kind": "cityscapes", "root": str(tmp_path), "transform": AS_IT_IS})
        for folder, count in (("train", 30), ("val", 2)):
            for number in range(count):
                name = f"{folder}/ulm/img{number}"
                save(tmp_path / f"leftImg8bit/{name}_leftImg8bit.png", pixels(number))
                save(tmp_path / f"gtFine/{name}_gtFine_labelIds.png", LABELS)
                save(tmp_path / f"gtFine/{name}_gtFine_instanceIds.png", LABELS)
        config.check_splits()
        assert len(config.open("train")) + len(config.open("search")) == 30
        assert len(config.open("test")) == 2

    def test_coco_stuff(self, tmp_path: Path) -> None:
        config = config_of("coco_stuff", tmp_path)
        label = config.open("train")[0]["label"]
        assert label.equal(torch.from_numpy(LABELS).long() + 179)  # 255, "don't care", is 182
        assert isinstance(config, LabelledConfig)
        names = config.classes.shown_names
        assert (len(names), len(set(names)), names[0], names[91], names[181]) == (182, 182, "person", "banner", "wood")

    def test_label_maps_alone_have_the_size_of_their_files(self, tmp_path: Path) -> None:
        config = config_of("cityscapes", tmp_path, transform={"load_size": 8, "crop_size": 4})
        assert isinstance(config, LabelledConfig)
        assert config.open("train")[2]["label"].shape == (4, 4)
        item = config.open_labels("train")[2]
        assert item.keys() == {"label", "name", "index"}
        assert item["label"].equal(torch.from_numpy((LABELS + 2) % 4).long() + 31)

    def test_a_photograph_without_its_label_map(self, tmp_path: Path) -> None:
        config = config_of("cityscapes", tmp_path)
        (tmp_path / "gtFine/train/ulm/img2_gtFine_labelIds.png").unlink()
        message = (
            r"leftImg8bit/train: got ulm/img2_leftImg8bit.png without a file of the same name in .*gtFine/train, "
            r"expected a 'label' for every 'image'; add the missing files, or name both alike"
        )
        with pytest.raises(DataError, match=message) as caught:
            config.open("train")
        assert "\n" not in str(caught.value)

    def test_a_label_outside_the_range(self, tmp_path: Path) -> None:
        config = config_of("cityscapes", tmp_path)
        save(tmp_path / "gtFine/train/ulm/img3_gtFine_labelIds.png", LABELS + 40)
        dataset = config.open("train")
        dataset[2]
        message = r"ulm/img3_gtFine_labelIds.png: got label 40, 41, 42, ..., expected 0 to 34 or one of ignore \[255\]"
        with pytest.raises(DataError, match=message):
            dataset[3]


def test_jpeg_label_maps_are_not_taken(tmp_path: Path) -> None:
    save_many(tmp_path / "train/images", 1)
    save_many(tmp_path / "train/labels", 1, suffix=".jpg")
    config = {
        "kind": "labels",
        "splits": WHOLE,
        "root": str(tmp_path),
        "classes": {"num_classes": 4},
        "transform": AS_IT_IS,
    }
    with pytest.raises(DataError, match=r"labels: got no image \(1 files\), expected names that end in .png, .bmp"):
        parse_data(config).open("train")


@pytest.mark.parametrize("kind", ["paired", "labels"])
def test_sizes_of_a_pair_must_agree(kind: str, tmp_path: Path) -> None:
    config = config_of(kind, tmp_path)
    first = {"paired": "input", "labels": "images"}[kind]
    save(tmp_path / f"train/{first}/img2.png", pixels(0, 13, 16))
    dataset = config.open("train")
    dataset[1]
    message = rf"{first}/img2.png of 13x16.*\(height x width\), expected images of one size; correct the pairing"
    with pytest.raises(DataError, match=message):
        dataset[2]


class TestUnaligned:
    def open(self, root: Path, num_inputs: int, num_targets: int, augment: bool = True) -> ImageSet:
        save_many(root / "trainA", num_inputs)
        save_many(root / "trainB", num_targets, first=100)
        return parse_data(
            {"kind": "unaligned", "splits": WHOLE, "root": str(root), "transform": AS_IT_IS | {"flip": False}}
        ).open("train", augment)

    def targets(self, dataset: ImageSet, epoch: int = 0, seed: int = 0) -> list[float]:
        return [dataset.item(Visit(index, epoch, seed))["target"].sum().item() for index in range(len(dataset))]

    def test_every_target_once_an_epoch_in_a_new_order(self, tmp_path: Path) -> None:
        dataset = self.open(tmp_path, 4, 7)
        assert len(dataset) == 7
        first, second, other_seed = self.targets(dataset), self.targets(dataset, 1), self.targets(dataset, 0, 1)
        assert len(set(first)) == 7
        assert sorted(first) == sorted(second) == sorted(other_seed)
        assert first != second != other_seed != first
        assert [dataset[index]["name"] for index in range(7)] == [f"img{index % 4}" for index in range(7)]

    def test_fewer_targets_start_over(self, tmp_path: Path) -> None:
        targets = self.targets(self.open(tmp_path, 6, 3))
        assert len(set(targets)) == 3
        assert targets[:3] == targets[3:]

    def test_without_augmentation_partners_are_fixed(self, tmp_path: Path) -> None:
        dataset = self.open(tmp_path, 3, 5, augment=False)
        expected = [as_tensor(pixels(100 + n)).sum().item() for n in range(5)]
        assert self.targets(dataset, 4) == pytest.approx(expected, abs=1e-4)

    def test_one_domain(self, tmp_path: Path) -> None:
        self.open(tmp_path, 3, 5)
        config = UnalignedConfig(root=str(tmp_path), splits=WHOLE, transform=AS_IT_IS)
        for domain, first, count in (("input", 0, 3), ("target", 100, 5)):
            dataset = config.open_domain(domain, "train")
            assert len(dataset) == count
            assert all(dataset[n]["input"].equal(as_tensor(pixels(first + n))) for n in range(count))


def test_camvid(shared_data: Path) -> None:
    config = parse_data(
        {
            "kind": "labels",
            "root": str(shared_data / "camvid_256x192"),
            "classes": {"num_classes": 11, "ignore": [11]},
            "transform": {"resize": "width", "load_size": 140, "crop_size": [96, 128]},
            "splits": {"train": {"folder": "train"}, "search": {"folder": "val"}, "test": {"folder": "test"}},
        }
    )
    config.check_splits()
    assert {split: len(config.open(split)) for split in config.split_names()} == {
        "train": 367,
        "search": 101,
        "test": 233,
    }
    item = config.open("train", augment=True)[0]
    assert item["image"].shape == (3, 96, 128)
    assert item["label"].shape == (96, 128)
    assert item["label"].max() <= 11


def test_faces_in_zips(shared_data: Path) -> None:
    config = parse_data(
        {
            "kind": "unaligned",
            "root": str(shared_data),
            "input": "celeba_10k_89x109.zip",
            "target": "anime_faces_5k_96.zip",
            "transform": {"resize": "shorter", "load_size": 72, "crop_size": 64},
            "splits": {"train": {"fraction": [0, 0.9]}, "test": {"fraction": [0.9, 1]}},
        }
    )
    item = config.open("train", augment=True)[6000]
    assert item["input"].shape == item["target"].shape == (3, 64, 64)
