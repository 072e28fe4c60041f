"""Nothing that a file names or holds is run without consent: a directory from outside, tried by every door."""

from __future__ import annotations

import json
import shutil
import sys
import warnings
from pathlib import Path

import pytest
import torch

import gancompress
from gancompress.cli import main
from gancompress.errors import CheckpointError, TrustError
from gancompress.jobs.pipeline import Pipeline
from gancompress.jobs.recipe import load_job
from gancompress.networks.generator import Generator
from gancompress.networks.importers import load_generator
from gancompress.networks.registry import build
from tests.cli.verbs import run

EVIL = """
from pathlib import Path
Path(__file__).with_name("executed").touch()
import torch
class Net(torch.nn.Conv2d):
    def __init__(self): super().__init__(3, 3, 1)
def function(*_, **__): return 0.0
"""
PIXELS = ("--size", "16x16")


@pytest.fixture
def stranger(tmp_path, monkeypatch) -> Path:
    """A directory with weights, a config that names a class, and that class's module, which can be imported."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "from_outside", raising=False)
    (tmp_path / "from_outside.py").write_text(EVIL)
    torch.manual_seed(0)
    config = {"ngf": 4, "num_blocks": 1}
    Generator.from_module(build("resnet", config), "resnet", config).save(tmp_path / "net")
    change(tmp_path / "net", family="from_outside:Net", config={})
    return tmp_path


def change(directory: Path, **fields: object) -> None:
    config = json.loads((directory / "config.json").read_text())
    (directory / "config.json").write_text(json.dumps({**config, **fields}))


@pytest.fixture
def program(tmp_path) -> Path:
    """A TorchScript program."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.script(torch.nn.Identity()).save(tmp_path / "program.pt")
    return tmp_path / "program.pt"


def executed(directory: Path) -> bool:
    return (directory / "executed").exists()


@pytest.mark.parametrize("read", [gancompress.load, Generator.load, load_generator])
def test_a_directory_that_names_a_class_is_refused(read, stranger):
    message = r"net/config\.json: names the program 'from_outside:Net', expected your consent.*trust=True"
    with pytest.raises(TrustError, match=message):
        read(stranger / "net")
    assert not executed(stranger)
    with pytest.raises(CheckpointError, match="the weights do not fit"):
        _ = getattr(read(stranger / "net", trust=True), "build", None)()  # the weights are those of another network
    assert executed(stranger)


VERBS = {
    "inspect": ("inspect", "net", *PIXELS),
    "prune": ("prune", "net", "--keep", "0.5", "--out", "small", *PIXELS),
    "export": ("export", "net", *PIXELS),
    "bench": ("bench", "net", *PIXELS),
    "demo": ("demo", "net", "--runtime", ".", *PIXELS),
}


@pytest.mark.parametrize("verb", VERBS)
def test_no_verb_runs_it(verb, stranger, monkeypatch, capsys):
    monkeypatch.chdir(stranger)
    monkeypatch.setattr("gancompress.cli.pages.runtime_folder", lambda _: None)
    monkeypatch.setattr(sys, "argv", ["gancompress", *VERBS[verb]])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert "names the program 'from_outside:Net'" in (line := capsys.readouterr().err)
    assert line.count("\n") == 1
    assert not executed(stranger)


def test_who_names_the_class_agrees(stranger, monkeypatch):
    net = build("from_outside:Net", {})
    Generator.from_module(net, "from_outside:Net", {}).save(stranger / "own")
    assert load_generator(stranger / "own", "from_outside:Net").family == "from_outside:Net"
    options = ("--size", "16x16", "--json")
    for consent in (("--family", "from_outside:Net"), ("--trust-code",)):
        assert json.loads(run("inspect", stranger / "own", *consent, *options))["parameters"] == 12


def test_a_directory_written_here_opens_until_it_is_moved_or_changed(stranger, monkeypatch):
    monkeypatch.setenv("GANCOMPRESS_CACHE", str(stranger / "cache"))
    Generator.from_module(build("from_outside:Net", {}), "from_outside:Net", {}).save(stranger / "own")
    assert Generator.load(stranger / "own").family == "from_outside:Net"
    shutil.copytree(stranger / "own", stranger / "moved")
    with pytest.raises(TrustError, match=r"moved/config\.json: names the program 'from_outside:Net'"):
        Generator.load(stranger / "moved")
    change(stranger / "own", num_parameters=13)
    with pytest.raises(TrustError, match=r"own/config\.json: names the program 'from_outside:Net'"):
        Generator.load(stranger / "own")


@pytest.mark.parametrize("family", ["gancompress.perception.network_file:NetworkFile", "torch.nn:Conv2d", "os:system"])
def test_installed_code_needs_consent_too(family, stranger, program):
    change(stranger / "net", family=family, config={"path": str(program)})
    with pytest.raises(TrustError, match=f"names the program '{family}'"):
        gancompress.load(stranger / "net")


def test_a_program_of_torch_export_needs_consent(tmp_path):
    program = torch.export.export(torch.nn.Conv2d(3, 3, 1), (torch.zeros(1, 3, 4, 4),))
    torch.export.save(program, tmp_path / "model.pt2")
    with pytest.raises(TrustError, match=r"model\.pt2: is a program, expected your consent"):
        gancompress.load(tmp_path / "model.pt2")
    assert gancompress.load(tmp_path / "model.pt2", trust=True)(torch.zeros(1, 3, 4, 4)).shape == (1, 3, 4, 4)


JOB = {
    "name": "job",
    "task": "paired",
    "data": {"kind": "procedural", "image_size": 16},
    "teacher": {"checkpoint": "given"},
    "steps": [{"kind": "prune", "keep": 0.5}],
}
NAMING = {
    "a loss": {
        "steps": [{"kind": "distill", "keep": 0.5, "distillation": {"terms": [{"kind": "from_outside:function"}]}}]
    },
    "a task": {"task": "from_outside:Net"},
    "data": {"data": {"kind": "from_outside:Net"}},
    "a step": {"steps": [{"kind": "from_outside:Net"}]},
    "a format": {"exports": ["from_outside:Net"]},
    "a score": {"steps": [{"kind": "prune", "keep": 0.5, "score": "from_outside:function"}]},
}


@pytest.mark.parametrize(
    ("what", "verb"),
    [*((what, "evaluate") for what in NAMING), *(("a loss", verb) for verb in ("bench", "export", "demo"))],
)
def test_no_verb_runs_what_the_job_of_a_run_names(what, verb, stranger, monkeypatch):
    monkeypatch.chdir(stranger)
    monkeypatch.setattr("gancompress.cli.pages.runtime_folder", lambda _: None)
    (stranger / "net" / "job.yaml").write_text(json.dumps({**JOB, **NAMING[what]}))
    with pytest.raises(TrustError, match=r"net/job\.yaml: names the program 'from_outside:\w+', expected your consent"):
        run(verb, "net")
    assert not executed(stranger)


def test_a_recipe_that_its_user_names_is_the_users_word(stranger):
    (stranger / "job.yaml").write_text(json.dumps({**JOB, **NAMING["a loss"]}))
    assert load_job(str(stranger / "job.yaml")).steps[0].kind == "distill"
    assert executed(stranger)


def test_a_run_directory_written_here_opens_until_it_is_moved_or_changed(stranger, program, monkeypatch):
    monkeypatch.setenv("GANCOMPRESS_CACHE", str(stranger / "cache"))
    monkeypatch.chdir(stranger)
    Generator.from_module(build("from_outside:Net", {}), "from_outside:Net", {}).save(stranger / "own")
    recipe = {
        **JOB,
        "teacher": {"checkpoint": "own", "family": "from_outside:Net"},
        "metrics": {"against_teacher": ["from_outside:function"], "networks": {"mine": {"path": str(program)}}},
        "exports": [],
    }
    Path("own.yaml").write_text(json.dumps(recipe))
    Pipeline(load_job("own.yaml"), Path("run"), lambda _: None).teacher()
    assert load_job("run/job.yaml", trust=False).teacher.family == "from_outside:Net"
    assert Generator.load("run/teacher").family == "from_outside:Net"
    shutil.copytree("run", "moved")
    with pytest.raises(TrustError, match=r"moved/job\.yaml: names the program '(from_outside|.*program\.pt)"):
        load_job("moved/job.yaml", trust=False)
    Path("run/job.yaml").write_text(Path("run/job.yaml").read_text() + "# changed\n")
    with pytest.raises(TrustError, match=r"run/job\.yaml: names the program '(from_outside|.*program\.pt)"):
        load_job("run/job.yaml", trust=False)


def test_torchscript_in_the_job_of_a_run_needs_consent(program, tmp_path):
    metrics = {"networks": {"mine": {"path": str(program)}}}
    (tmp_path / "job.yaml").write_text(json.dumps({**JOB, "metrics": metrics}))
    assert "mine" in load_job(str(tmp_path / "job.yaml")).metrics.networks
    with pytest.raises(TrustError, match=r"job\.yaml: names the program '.*program\.pt', expected your consent"):
        load_job(str(tmp_path / "job.yaml"), trust=False)


def test_a_teacher_whose_directory_names_another_class_than_the_recipe(stranger, monkeypatch):
    monkeypatch.chdir(stranger)
    Path("job.yaml").write_text(json.dumps({**JOB, "teacher": {"checkpoint": "net"}, "exports": []}))
    with pytest.raises(TrustError, match=r"net/config\.json: names the program 'from_outside:Net'"):
        run("compress", "job.yaml", "--out", "run")
    assert not executed(stranger)
