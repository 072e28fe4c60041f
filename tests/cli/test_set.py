"""Arguments of a class by --set, for every verb that opens a network."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch

from gancompress.errors import CheckpointError, ConfigError, GanCompressError
from gancompress.jobs.given_teacher import load_given_teacher
from gancompress.jobs.teacher_options import TeacherOptions
from gancompress.networks.importers import load_generator

from ..networks.strangers import Stranger
from .verbs import run

FAMILY = f"{Stranger.__module__}:Stranger"


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    torch.save(Stranger(5).state_dict(), tmp_path / "net.pt")
    return tmp_path / "net.pt"


@pytest.mark.parametrize(
    "verb",
    [
        ("inspect", "--json"),
        ("prune", "--keep", "0.5", "--minimum", "1", "--multiple", "1", "--out", "small", "--json"),
        ("export", "--format", "torch", "--rewrite", "none", "--json"),
    ],
    ids=lambda verb: verb[0],
)
def test_every_verb(verb: tuple[str, ...], checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(checkpoint.parent)
    name, *options = verb
    with pytest.raises(CheckpointError, match=r"do not fit .*:Stranger with this config"):
        run(name, checkpoint, "--family", FAMILY, "--size", "8x8", *options)
    assert json.loads(run(name, checkpoint, "--family", FAMILY, "--set", "width=5", "--size", "8x8", *options))


def test_bench(checkpoint: Path) -> None:
    options = ("--family", FAMILY, "--size", "8x8", "--runtime", "none")
    with pytest.raises(CheckpointError, match=r"do not fit .*:Stranger with this config"):
        run("bench", checkpoint, *options)
    with pytest.raises(GanCompressError, match="'none'"):  # after the network was opened, before anything is timed
        run("bench", checkpoint, *options, "--set", "width=5")


def test_options_that_a_saved_network_has_are_no_contradiction(checkpoint: Path) -> None:
    small, config = checkpoint.parent / "small", {"width": 5}
    load_generator(checkpoint, FAMILY, config).save(small)
    assert load_generator(small, FAMILY, config).config == config
    with pytest.raises(ConfigError, match="got a family or config for a directory that has its own"):
        load_generator(small, FAMILY, {"width": 6})


def test_the_teacher_of_a_recipe(checkpoint: Path) -> None:
    options = TeacherOptions(checkpoint=str(checkpoint), family=FAMILY, config={"width": 5})
    inputs = SimpleNamespace(task=SimpleNamespace(takes_labels=False), data=SimpleNamespace(holds_images=True))
    assert load_given_teacher(options, cast(Any, inputs), lambda _: None).generator.config == {"width": 5}
