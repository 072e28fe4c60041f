"""Files that the shipped recipes need: each is known, and somebody outside learns how to get it."""

from __future__ import annotations

import re

import pytest

from gancompress.errors import DataError
from gancompress.jobs.recipe_text import read_recipe, recipe_names, recipe_summary
from gancompress.recipes import needs
from gancompress.recipes.needs import needs_of
from gancompress.recipes.summary import GROUPS
from tests.cli.verbs import run

FOREIGN = re.compile(r"(datasets|checkpoints|teachers|nets|weights)/\S+")


@pytest.fixture(scope="module")
def summaries():
    return {name: recipe_summary(name) for name in recipe_names()}


def test_every_file_that_a_recipe_names_is_known_and_no_other(summaries):
    known = set(needs._catalogue())
    named = {
        text for name in summaries for text in needs._texts(read_recipe(name)) if FOREIGN.fullmatch(text) is not None
    }
    assert named <= known
    assert known == {need.path for each in summaries.values() for need in each.needs if need.path in known}


@pytest.mark.parametrize("need", needs._catalogue().values(), ids=lambda need: need.path)
def test_everybody_learns_how_to_get_it_or_to_do_without(need):
    assert need.content
    assert need.layout if need.is_public else need.instead
    assert str(need).startswith(f"{need.path}: {need.content}; ")


@pytest.mark.parametrize(
    ("name", "group", "training", "downloads"),
    [
        ("quickstart", 0, "20,000 images of 64x64", ()),
        ("pix2pix-maps", 1, "1,644,000 images of 256x256", ("InceptionV3", "AlexNet")),
        ("cyclegan-horse2zebra-slimming", 1, "426,802 images of 256x256", ("InceptionV3", "AlexNet", "VGG")),
        ("camvid-labels2photo", 2, "44,000 images of 128x96", ()),
    ],
)
def test_a_summary_tells_what_a_recipe_takes(summaries, name, group, training, downloads):
    summary = summaries[name]
    assert (summary.group, summary.training, summary.downloads) == (GROUPS[group], training, downloads)
    assert summary.words


def test_a_run_whose_teacher_is_needed_is_named_once():
    recipe = {"teacher": {"checkpoint": "runs/mine/teacher", "discriminator": "runs/mine/teacher/discriminator"}}
    assert [str(need) for need in needs_of(recipe)] == [
        "runs/mine/teacher: a trained teacher; from this package: gancompress train mine"
    ]


def test_recipes_are_listed_in_groups():
    listed = run("recipes")
    assert [listed.index(group) for group in GROUPS] == sorted(listed.index(group) for group in GROUPS)
    assert "needs nothing" in listed.partition(GROUPS[1])[0]


def test_data_that_is_missing_is_explained(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        DataError, match=r"camvid-gaugan: found no datasets/camvid, expected the data of the recipe; get"
    ):
        run("data", "camvid-gaugan")
    (tmp_path / "datasets" / "camvid").mkdir(parents=True)
    with pytest.raises(DataError, match=r"datasets/camvid"):  # it is there, and empty
        run("data", "camvid-gaugan")
