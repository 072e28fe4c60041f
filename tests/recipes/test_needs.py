"""Files that the shipped recipes need: each is known, and somebody outside learns how to get it."""

from __future__ import annotations

import re

import pytest

from gancompress.errors import CheckpointError, DataError
from gancompress.jobs.measuring import check_networks
from gancompress.jobs.recipe import load_job
from gancompress.jobs.recipe_text import _packaged, read_recipe, recipe_names, recipe_summary
from gancompress.recipes import needs
from gancompress.recipes.needs import needs_of
from gancompress.recipes.summary import GROUPS
from tests.cli.verbs import run

ALEX = "alexnet", "lpips_alex"
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
        ("pix2pix-maps", 2, "1,644,000 images of 256x256", ("inception", *ALEX)),
        ("gaugan-cityscapes", 2, "2,220,000 images", ("vgg19", "inception", *ALEX)),
        (
            "cyclegan-horse2zebra-slimming",
            2,
            "426,802 images of 256x256",
            ("inception", "alexnet", "lpips_alex", "vgg16"),
        ),
        ("camvid-labels2photo", 1, "80,000 images of 128x96", ("mobilenet_v2",)),
        ("celeba-stylegan2", 1, "162,400 images of 64x64", ("squeezenet1_1", "lpips_squeeze", "mobilenet_v2")),
        ("camvid-gaugan", 3, "10,500 images of 96x64", ("mobilenet_v2",)),
    ],
)
def test_a_summary_tells_what_a_recipe_takes(summaries, name, group, training, downloads):
    summary = summaries[name]
    assert (summary.group, summary.training) == (GROUPS[group], training)
    assert {each.name for each in summary.downloads} == set(downloads)
    assert summary.words


def test_a_run_whose_teacher_is_needed_is_named_once():
    recipe = {"teacher": {"checkpoint": "runs/mine/teacher", "discriminator": "runs/mine/teacher/discriminator"}}
    assert [str(need) for need in needs_of(recipe)] == [
        "runs/mine/teacher: a trained teacher; from this package: gancompress train mine"
    ]


def test_recipes_are_listed_in_groups(summaries):
    listed, apart = run("recipes"), run("recipes", "--experiments")
    assert [listed.index(group) for group in GROUPS[:3]] == sorted(listed.index(group) for group in GROUPS[:3])
    assert "needs nothing" in listed.partition(GROUPS[1])[0]
    private = {name for name, each in summaries.items() if each.group == GROUPS[3]}
    assert {name for name, file in _packaged().items() if "experiments" in str(file)} == private
    assert all((name in apart.split()) == (name in private) for name in summaries)
    assert f"{len(private)} more are experiments" in listed


def test_weights_that_cannot_be_had_stop_a_job_before_it_begins(tmp_path, monkeypatch):
    monkeypatch.setenv("GANCOMPRESS_CACHE", str(tmp_path))
    monkeypatch.setattr("urllib.request.urlopen", refuse)
    with pytest.raises(CheckpointError, match=r"mobilenet_v2-b0353104\.pth: downloading .* failed \(no network\)"):
        check_networks(load_job("camvid-labels2photo"))


def test_networks_that_no_metric_names_are_neither_fetched_nor_looked_for(tmp_path, monkeypatch):
    monkeypatch.setenv("GANCOMPRESS_CACHE", str(tmp_path))
    monkeypatch.setattr("urllib.request.urlopen", refuse)
    given = ["metrics.networks.own={path: none.pt}", "metrics.against_teacher=[psnr]"]

    def check(metric: str, *more: str) -> None:
        check_networks(load_job("camvid-labels2photo", [*given, *more, f"metrics.against_real=[{metric}]"]))

    check("ssim")
    with pytest.raises(CheckpointError, match=r"metrics\.networks\.own: none\.pt: no such file"):
        check("fd_own")
    with pytest.raises(CheckpointError, match=r"metrics\.networks\.inception: none\.pt: no such file"):
        check("fid", "metrics.networks.inception={path: none.pt}")


def refuse(*_, **__):
    raise OSError("no network")


def test_data_that_is_missing_is_explained(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        DataError, match=r"camvid-gaugan: found no datasets/camvid, expected the data of the recipe; get"
    ):
        run("data", "camvid-gaugan")
    (tmp_path / "datasets" / "camvid").mkdir(parents=True)
    with pytest.raises(DataError, match=r"datasets/camvid"):  # it is there, and empty
        run("data", "camvid-gaugan")
