"""Label maps as inputs: channels, borders, pictures, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from gancompress.data import DataConfig, parse_data
from gancompress.errors import ConfigError
from gancompress.networks.file_form import label_map_form
from gancompress.networks.registry import build
from gancompress.tasks import TASKS, SemanticOptions, SemanticTask, find_task

LABELS = torch.tensor([[[0, 0, 2], [1, 3, 3]]])
INSTANCES = torch.tensor([[[7, 7, 7], [7, 8, 8]]])
COLOURS = [[255, 255, 255], [0, 255, 0], [0, 0, 255]]


def data(**options) -> DataConfig:
    classes = {"num_classes": 3, "colours": COLOURS, "names": ["road", "tree", "sky"], **options.pop("classes", {})}
    return parse_data({"kind": "labels", "transform": {"resize": "none"}, "classes": classes, **options})


def batch(**maps: Tensor) -> dict:
    return {"label": LABELS, "image": torch.linspace(-1, 1, 18).view(1, 3, 2, 3), "name": ["a"], **maps}


def task(options: SemanticOptions | str = "semantic", **data_options) -> SemanticTask:
    found = find_task(options, data(**data_options))
    assert isinstance(found, SemanticTask)
    return found


def channels_of(found: SemanticTask) -> Tensor:
    return found.encode(found.prepare(batch(instance=INSTANCES), "test", [0])["input"])


def test_a_channel_for_each_label_and_one_for_what_is_unknown():
    one_hot = torch.nn.functional.one_hot(LABELS, 4).movedim(-1, 1).float()
    assert channels_of(task()).equal(one_hot)
    assert task().generator_options() == {"in_channels": 4}


def test_what_is_unknown_may_be_zero_everywhere():
    found = task(SemanticOptions(dont_care=False))
    assert channels_of(found).equal(torch.nn.functional.one_hot(LABELS, 4).movedim(-1, 1).float()[:, :3])
    assert found.generator_options() == {"in_channels": 3}
    assert task(classes={"ignore": []}).generator_options() == {"in_channels": 3}


def test_borders_of_objects_are_the_last_channel():
    found = task(instances="{folder}/instances")
    assert found.generator_options() == {"in_channels": 5}
    assert channels_of(found)[0, -1].tolist() == [[0, 1, 1], [1, 1, 1]]
    without = task(SemanticOptions(edges=False), instances="{folder}/instances")
    assert without.generator_options() == {"in_channels": 4}


def test_published_numbers_of_channels():
    cityscapes = parse_data({"kind": "cityscapes", "transform": {"resize": "none"}})
    coco = parse_data({"kind": "coco_stuff", "transform": {"resize": "none"}})
    assert find_task(SemanticOptions(dont_care=False), cityscapes).generator_options() == {"in_channels": 36}
    assert find_task("semantic", coco).generator_options() == {"in_channels": 184}


def test_a_batch_holds_numbers_until_a_network_wants_channels():
    prepared = task().prepare(batch(), "test", [0])
    assert prepared["input"].dtype == torch.uint8
    assert prepared["input"].shape == (1, 1, 2, 3)
    assert prepared.keys() == {"label", "input", "target", "name"}
    channels = task().encode(prepared["input"])
    assert task().encode(channels) is channels
    many = replace(task(), classes=task().classes.model_copy(update={"num_classes": 400}))
    assert many.encode(many.prepare(batch(label=LABELS + 397), "test", [0])["input"])[0, 397, 0].tolist() == [1, 1, 0]


def test_the_discriminator_sees_channels_and_image():
    prepared = task().prepare(batch(), "test", [0])
    image = torch.zeros(1, 3, 2, 3)
    assert task().seen(prepared, image).equal(torch.cat([channels_of(task()), image], 1))
    assert task().real(prepared)[:, 4:].equal(prepared["target"])
    assert task().discriminator_channels(4, 3) == 7


def test_label_maps_are_shown_in_the_colours_of_their_classes():
    prepared = task().prepare(batch(), "test", [0])
    columns = task().columns(prepared, {"teacher": prepared["target"]})
    assert list(columns) == ["label map", "teacher", "photograph"]
    assert columns["label map"][0, :, 0, 0].tolist() == [1, 1, 1]
    assert columns["label map"][0, :, 0, 2].tolist() == [-1, -1, 1]
    assert columns["label map"][0, :, 1, 1].tolist() == [-1, -1, -1]


class TestFileForm:
    @torch.no_grad()
    def test_takes_integers_and_truth_values(self):
        found = task(instances="{folder}/instances")
        network = build("spade", {"ngf": 2, "in_channels": 5, "upsampling": "normal"}).eval()
        labels = (torch.arange(64 * 64) * 7 // 5 % 4).view(1, 64, 64)
        held = torch.stack([labels, (labels % 2)], 1).to(torch.uint8)
        form = found.file_form(network, held)
        assert [(each.dtype, tuple(each.shape)) for each in form.inputs] == [
            (torch.int32, (1, 64, 64)),
            (torch.bool, (1, 64, 64)),
        ]
        assert form.names == ("labels", "edges")
        assert dict(form.facts) == {
            "layout": "NHW",
            "labels": "4",
            "classes": "road, tree, sky",
            "dont_care": "3",
        }
        assert form.module(*form.inputs).equal(network(found.encode(held)))

    def test_of_channels_alone(self):
        channels = channels_of(task())
        form = label_map_form(nn.Identity(), 4, channels)
        assert [each.tolist() for each in form.inputs] == [LABELS.tolist()]
        with pytest.raises(
            ConfigError, match="labels: got 2 for a network of 4 channels, expected that number, or one"
        ):
            label_map_form(nn.Identity(), 2, channels)


def test_options_come_back_from_their_dump():
    options = TASKS.parse({"kind": "semantic", "dont_care": False})
    assert options == SemanticOptions(dont_care=False)
    assert TASKS.parse(options.model_dump(mode="json")) == options
    with pytest.raises(ConfigError, match=r"edge: unknown option, did you mean 'edges'\?"):
        TASKS.parse({"kind": "semantic", "edge": False})


@pytest.mark.parametrize("kind", ["images", "webdataset", None])
def test_data_without_label_maps(kind: str | None, tmp_path: Path):
    others = {"roles": {"input": "jpg"}, "shards": ["a.tar"]} if kind == "webdataset" else {}
    found = parse_data({"kind": kind, "transform": {"resize": "none"}, **others}) if kind else None
    words = f"data of kind '{kind}'" if kind else "no data set"
    with pytest.raises(ConfigError, match=f"semantic: got {words}, expected label maps with photographs; take kind"):
        find_task("semantic", found)
