"""One command from a checkpoint and a folder to a file, and what it refuses before training."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch
import yaml

from gancompress.cli import main
from gancompress.cli.compress import is_checkpoint
from gancompress.errors import BudgetError, CheckpointError, ConfigError, DataError, ExportError, MetricError
from gancompress.jobs.drafting.method import Pace
from tests.jobs.drafting.folders import pictures

from .verbs import run

NET = """
from torch import nn

class Branches(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.wide, self.point = nn.Conv2d(width, width, 3, padding=1), nn.Conv2d(width, width, 1)

    def forward(self, x):
        return self.wide(x) + self.point(x)

class Net(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, width, 3, padding=1), Branches(width)
        self.last = nn.Conv2d(width, 3, 3, padding=1)

    def forward(self, x):
        return (x + 0.1 * self.last(self.second(self.first(x).relu()).relu())).clamp(0, 1)

def gap(images, targets):
    return (images - targets).abs().mean((1, 2, 3))

def failing(images, targets):
    return {}[0]

def one(images, targets):
    return (images - targets).abs().mean()
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A directory with a module, its weights and photographs."""
    directory = tmp_path_factory.mktemp("user")
    (directory / "usernet.py").write_text(NET)
    sys.path.append(str(directory))
    from usernet import Net  # type: ignore[import-not-found]

    torch.manual_seed(0)
    torch.save(Net(8).state_dict(), directory / "net.pt")
    pictures(directory / "photos", 12)
    return directory


@pytest.fixture
def here(place, monkeypatch) -> Path:
    """The same directory, as the current one; nothing is timed: it takes processes, and varies."""
    monkeypatch.chdir(place)
    monkeypatch.setattr("gancompress.jobs.drafting.draft.fastest_formats", lambda runtime: [])
    monkeypatch.setattr("gancompress.jobs.summary.time_files", lambda *_, **__: {})
    monkeypatch.setattr("gancompress.jobs.drafting.draft.seconds_of_pass", lambda network, images: 1e-3)
    monkeypatch.setattr("gancompress.jobs.drafting.draft.training_pace", lambda *_, **__: Pace(1e-3, 0.05, 0.05))
    return place


OWN = ("--net", "usernet:Net", "--set", "width=8")
ASKED = ("net.pt", "--images", "photos", "--smaller", "3", "--minutes", "0.03", *OWN)


@pytest.fixture
def finished(here) -> Path:
    directory = here / "runs" / "net-3x"
    if not directory.is_dir():
        text = run("compress", *ASKED, "--metric", "usernet:gap", "--metric", "psnr")
        (here / "printed.txt").write_text(text)
    return directory


def test_a_checkpoint_and_a_folder_are_enough(finished, here):
    text = (here / "printed.txt").read_text()
    for line in (
        "network: usernet:Net, 1,099 parameters",
        "1 re-parameterised block folded: second",
        "3 channels to 3; any size; range 0..1, measured",
        "images: 12 of 40x48 (height x width)",
        "train 10, search 1, test 1",
        "method: cut to 3 times fewer MACs, refit by least squares",
        "1-prune: ",
        "times fewer MACs, usernet:gap ",
        "fewer MACs: ",
        "psnr to the teacher",
        "report: runs/net-3x/report.html",
    ):
        assert line in text, line
    assert "quality difference" not in text  # there is no truth that both could be compared with
    report = json.loads((finished / "report.json").read_text())
    teacher, compressed = report["networks"]
    assert 2.9 < teacher["macs"]["true"] / compressed["macs"]["true"] < 6
    assert compressed["metrics"]["psnr_to_teacher"]["value"] > 20
    assert (finished / "exports" / "model.onnx").is_file()


def test_the_recipe_that_it_leaves_runs_by_itself_and_may_be_edited(finished, here, monkeypatch):
    path = Path("runs/net-3x/recipe.yaml")
    before = path.read_text()
    assert "# Written by: gancompress compress net.pt --images photos --smaller 3" in before
    assert run("compress", path, "--dry-run").count("done") == 2
    jobs = []
    monkeypatch.setattr("gancompress.cli.compress.run_job", lambda job, directory, **_: jobs.append((job, directory)))
    asked = (*ASKED, "--metric", "usernet:gap", "--metric", "psnr")
    try:
        path.write_text(before.replace("weight: 100", "weight: 99"))
        assert run("compress", *asked) == "recipe: runs/net-3x/recipe.yaml, as the same command left it\n"
        with pytest.raises(ConfigError, match=r"recipe\.yaml: got a recipe that was edited.*or give another --out"):
            run("compress", *ASKED)
    finally:
        path.write_text(before)
    ((job, directory),) = jobs
    assert (job.steps[1].distillation.terms[0].weight, directory) == (99, Path("runs/net-3x"))


def test_a_dry_run_writes_nothing_but_shows_the_recipe(here):
    text = run("compress", *ASKED, "--out", "elsewhere", "--dry-run")
    assert not Path("elsewhere").exists()
    recipe = yaml.safe_load(text[text.index("\nname:") : text.index("\ndata  train")])
    assert (recipe["name"], recipe["budget"]) == ("elsewhere", {"reduction": 3})
    assert recipe["teacher"] == {
        "checkpoint": "net.pt",
        "family": "usernet:Net",
        "config": {"width": 8},
        "range": "0..1",
        "fold_branches": True,
    }
    assert "2-finetune to do" in " ".join(text.split())


PHOTOS = ("--images", "photos", "--smaller", "3")
MISTAKES = {
    "no such file": (
        ("nowhere.pt", *PHOTOS),
        CheckpointError,
        r"nowhere\.pt: no such file or directory, expected the w",
    ),
    "no such folder": (
        ("net.pt", "--images", "nowhere", "--smaller", "3", *OWN),
        DataError,
        r"nowhere: got no such fol",
    ),
    "no images": (
        ("net.pt", *OWN),
        ConfigError,
        r"got the checkpoint 'net\.pt' with neither --images nor --data, or both, ex",
    ),
    "an unknown network": (("net.pt", *PHOTOS), CheckpointError, r"net\.pt: got tensors of no known family"),
    "no such class": (("net.pt", *PHOTOS, "--net", "usernet:Ne"), ConfigError, r"no 'Ne', did you mean 'Net'\?"),
    "a class that needs arguments": (
        ("net.pt", *PHOTOS, "--net", "usernet:Net"),
        ConfigError,
        r"usernet:Net: missing a required argument: 'width'; expected its arguments \(width\), such as --set wid",
    ),
    "other weights": (("net.pt", *PHOTOS, "--net", "usernet:Net", "--set", "width=9"), CheckpointError, "do not fit"),
    "a budget below the narrowest": (
        ("net.pt", "--images", "photos", "--bytes", "100", *OWN),
        BudgetError,
        r"budget: got 100 bytes, but the smallest reachable cost is [\d,]+ bytes; raise the budget",
    ),
    "a range that does not fit": (
        ("net.pt", *PHOTOS, *OWN, "--range", "0..255"),
        ConfigError,
        r"usernet:Net: range 0\.\.255 \(given\): got images of hardly more than one value, -0\.99\d of -1\.\.1, for 8",
    ),
    "a metric that is not there": ((*ASKED, "--metric", "psrn"), ConfigError, r"got 'psrn', expected a known one"),
    "a network for the distance that is not there": (
        (*ASKED, "--perceptual", "nowhere.pt"),
        CheckpointError,
        r"nowhere\.pt",
    ),
    "a metric that fails": (
        (*ASKED, "--metric", "usernet:failing"),
        MetricError,
        r"usernet:failing: raised KeyError: 0",
    ),
    "a metric of the whole batch": (
        (*ASKED, "--metric", "usernet:one"),
        MetricError,
        r"got values of shape \[\], expected a te",
    ),
    "a teacher to train": ((*ASKED, "--train-teacher"), ConfigError, r"--train-teacher: got it with a checkpoint"),
    "a size of words": ((*ASKED, "--size", "large"), ConfigError, r"--size: got 'large', expected whole numbers"),
}


@pytest.mark.parametrize(("arguments", "error", "message"), MISTAKES.values(), ids=MISTAKES)
def test_a_dry_run_finds_a_mistake(arguments, error, message, here):
    with pytest.raises(error, match=message):
        run("compress", *arguments, "--dry-run")


def test_trials_compute_with_the_threads_of_the_run(here, monkeypatch):
    before, seen = torch.get_num_threads(), []
    pace = lambda *_, **__: seen.append(torch.get_num_threads()) or Pace(1e-3, 0.05, 0.05)  # noqa: E731
    monkeypatch.setattr("gancompress.jobs.drafting.draft.training_pace", pace)
    run("compress", *ASKED, "--dry-run", "--threads", before + 1)
    assert (seen, torch.get_num_threads()) == ([before + 1], before)


def test_a_missing_runtime_is_found_first(here, monkeypatch):
    monkeypatch.setattr("gancompress.jobs.packages.missing_package", lambda name: "needs onnx: pip install it")
    with pytest.raises(ExportError, match=r"exports\.0: onnx needs onnx: pip install it"):
        run("compress", *ASKED, "--dry-run")


SOURCES = {
    "a shipped recipe": ("quickstart", {}, False),
    "a recipe that is not there": ("own.yaml", {}, False),
    "weights": ("net.pt", {}, True),
    "one network of several": ("net.pt#g", {}, True),
    "weights that are not there": ("nowhere.pt", {"--smaller": 3.0}, True),
}


@pytest.mark.parametrize(("source", "given", "expected"), SOURCES.values(), ids=SOURCES)
def test_checkpoints_are_told_from_recipes(source, given, expected, here):
    assert is_checkpoint(source, given) is expected


def test_what_is_neither_or_both_is_one_line(here, finished, tmp_path, monkeypatch):
    with pytest.raises(
        ConfigError, match=r"got 'quickstrat', expected a checkpoint, a \.yaml.*did you mean 'quickstart'"
    ):
        is_checkpoint("quickstrat", {})
    with pytest.raises(
        ConfigError, match=r"--smaller: got it with the recipe 'quickstart', expected a checkpoint; a rec"
    ):
        is_checkpoint("quickstart", {"--smaller": 3.0})
    with pytest.raises(ConfigError, match=r"got a run directory, expected a checkpoint or a recipe; give .*job\.yaml"):
        is_checkpoint(str(finished), {"--smaller": 3.0})
    monkeypatch.chdir(tmp_path)
    Path("quickstart").mkdir()
    with pytest.raises(ConfigError, match=r"'quickstart', the name of a recipe and of a directory here.*\./quickstart"):
        is_checkpoint("quickstart", {})
    assert is_checkpoint("./quickstart", {})


def test_modules_of_the_current_directory_can_be_named(here, monkeypatch, capsys):
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if Path(entry) != here])
    monkeypatch.delitem(sys.modules, "usernet")
    monkeypatch.setattr(sys, "argv", ["gancompress", "inspect", "usernet:Net", "--set", "width=8", "--size", "16x16"])
    with pytest.raises(SystemExit) as exit:
        main()
    assert not exit.value.code
    assert "1,027" in capsys.readouterr().out
