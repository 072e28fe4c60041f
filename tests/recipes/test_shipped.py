"""Teachers that come with the package: what is in their files, and what happens where a file is wrong."""

from __future__ import annotations

import re
import shutil
import sys
import tomllib
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest
import torch
import yaml

from gancompress.cli import main
from gancompress.errors import CheckpointError, ConfigError
from gancompress.jobs.pipeline import Pipeline
from gancompress.jobs.recipe import Job, load_job
from gancompress.jobs.recipe_text import recipe_names
from gancompress.networks.generator import Generator
from gancompress.networks.registry import build
from gancompress.networks.weight_files import read_safetensors
from gancompress.recipes import shipped
from gancompress.recipes.shipped import ShippedTeacher
from tests.cli.verbs import run

ROOT = Path(__file__).parents[2]
SHIPPING = sorted(name for name in recipe_names() if load_job(name).teacher.shipped is not None)
TRAINING = "{num_images: 8, num_decay_images: 0, batch_size: 4, checkpoint_every: 4, log_every: 4, preview_every: 0}"
TINY = (
    "data.image_size=16",
    "data.num_images={train: 8, search: 4, test: 4}",
    "budget=null",
    f"steps=[{{kind: distill, keep: 0.5, discriminator: {{family: patchgan, config: {{ndf: 4, n_layers: 1}}}}, "
    f"inherit_discriminator: false, training: {TRAINING}}}]",
    "exports=[]",
)


def network(family: str = "resnet_6blocks", seed: int = 0, **config) -> Generator:
    torch.manual_seed(seed)
    config = config or {"ngf": 4}
    return Generator.from_module(build(family, config), family, config)


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """An empty folder of shipped teachers."""
    monkeypatch.setattr(shipped, "FOLDER", tmp_path / "teachers")
    return tmp_path / "teachers"


@pytest.fixture
def own(folder) -> ShippedTeacher:
    return ShippedTeacher.write("own", network(), network("patchgan", ndf=4), {"network": {"family": "resnet_6blocks"}})


def test_weights_are_written_in_half_precision_and_read_in_float32(folder, own):
    written = read_safetensors(folder / "own" / "model.safetensors")
    assert {tensor.dtype for tensor in written.values()} == {torch.float16}
    teacher, discriminator = own.load()
    assert {tensor.dtype for tensor in (*teacher.state.values(), *discriminator.state.values())} == {torch.float32}
    for name, tensor in network().state.items():
        torch.testing.assert_close(
            teacher.state[name], tensor, rtol=2**-11, atol=2**-25
        )  # half an ulp of half precision
    assert own.training == {"network": {"family": "resnet_6blocks"}}


def test_integers_stay_integers(folder):
    batch_norm = network(ngf=4, norm="batch")
    teacher, _ = ShippedTeacher.write("norm", batch_norm, None, {}).load()
    counters = [name for name in teacher.state if name.endswith("num_batches_tracked")]
    assert counters
    assert all(teacher.state[name].dtype == torch.int64 for name in counters)


def test_a_discriminator_is_read_only_where_the_recipe_names_it(own):
    teacher, discriminator = ShippedTeacher(name="own", sha256=own.sha256).load()
    assert teacher.family == "resnet_6blocks"
    assert discriminator is None
    assert own.load()[1].family == "patchgan"


@pytest.mark.parametrize("file", ["model.safetensors", "discriminator/model.safetensors"])
def test_another_file_is_refused_in_one_line(folder, own, file):
    content = bytearray((folder / "own" / file).read_bytes())
    content[-1] ^= 1
    (folder / "own" / file).write_bytes(content)
    expected = own.sha256 if file == "model.safetensors" else own.discriminator_sha256
    with pytest.raises(CheckpointError) as error:
        own.load()
    (line,) = str(error.value).splitlines()
    assert re.search(rf"own/{file}: got a file with SHA-256 \w{{16}}\.\.\., expected {expected[:16]}\.\.\.", line)
    assert line.endswith("install gancompress again, or train the teacher with --train-teacher")


@pytest.mark.parametrize("file", ["model.safetensors", "discriminator/model.safetensors"])
def test_a_missing_file_is_refused_in_one_line(folder, own, file):
    (folder / "own" / file).unlink()
    with pytest.raises(
        CheckpointError, match=rf"own/{file}: found no such file, expected the shipped teacher's.*train"
    ):
        own.load()


def test_an_unknown_teacher_is_refused_with_the_nearest_name(own):
    with pytest.raises(
        ConfigError, match=r"name: got 'onw', expected a teacher that comes with .*did you mean 'own'\?"
    ):
        ShippedTeacher(name="onw", sha256=own.sha256)
    with pytest.raises(ConfigError, match=r"sha256: got 'abc', expected"):
        ShippedTeacher(name="own", sha256="abc")


def test_weights_beyond_half_precision_are_not_written(folder):
    teacher = network()
    name, tensor = next(iter(teacher.state.items()))
    large = teacher.with_state({**teacher.state, name: tensor + 1e5})
    with pytest.raises(CheckpointError, match=rf"'{re.escape(name)}': got weights beyond the range of half precision"):
        ShippedTeacher.write("large", large, None, {})
    assert not folder.exists()


@pytest.mark.parametrize("name", SHIPPING)
def test_every_recipe_with_a_shipped_teacher_loads_it(name):
    teacher = load_job(name).teacher
    generator, discriminator = teacher.shipped.load()
    assert teacher.train.network.family == generator.family
    fresh = build(generator.family, teacher.train.network.config).state_dict()
    assert {n: t.shape for n, t in generator.state.items()} == {n: t.shape for n, t in fresh.items()}
    if discriminator is not None:
        assert discriminator.family == teacher.train.discriminator.family


def test_shipped_teachers_are_small_and_each_is_used():
    files = [path for path in shipped.FOLDER.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 3e6
    assert set(shipped.shipped_names()) == {load_job(name).teacher.shipped.name for name in SHIPPING}
    assert "quickstart" in SHIPPING


def test_the_package_contains_every_file_beside_the_recipes():
    with (ROOT / "pyproject.toml").open("rb") as file:
        patterns = tomllib.load(file)["tool"]["setuptools"]["package-data"]["gancompress"]
    package = ROOT / "src" / "gancompress"
    packaged = {path for pattern in patterns for path in package.glob(pattern)}
    folders = [package / "recipes" / name for name in ("teachers", "sources")]
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    assert len(files) >= 4
    assert set(files) <= packaged


def test_a_job_starts_from_the_shipped_teacher_or_trains_its_own(tmp_path):
    def trained(out: Path, *flags: str) -> Generator:
        changes = [argument for change in TINY for argument in ("--set", change)]
        run("compress", "quickstart", "--out", out, *changes, *flags)
        return Generator.load(out / "teacher")

    teacher = trained(tmp_path / "shipped")
    expected, _ = load_job("quickstart").teacher.shipped.load()
    assert all(torch.equal(teacher.state[name], tensor) for name, tensor in expected.state.items())
    assert [step.name.split("-")[0] for step in (tmp_path / "shipped" / "steps").iterdir()] == ["1"]

    own = f"teacher.train={{network: {{family: resnet_6blocks, config: {{ngf: 4}}}}, training: {TRAINING}, "
    own += "discriminator: {family: patchgan, config: {ndf: 4, n_layers: 1}}}"
    other = trained(tmp_path / "own", "--train-teacher", "--set", own)
    assert other.config["ngf"] == 4
    assert len(list((tmp_path / "own" / "steps").glob("teacher-*"))) == 1


def test_a_dry_run_says_where_the_teacher_comes_from_and_checks_it(tmp_path, monkeypatch):
    def teacher(*flags: str) -> str:
        text = run("compress", "quickstart", "--dry-run", "--out", tmp_path / "run", *flags)
        (line,) = [line for line in text.splitlines() if line.strip().startswith("teacher ")]
        return " ".join(line.split())

    assert teacher() == "teacher 'quickstart', which comes with gancompress"
    assert teacher("--train-teacher") == "teacher to do"
    shutil.copytree(shipped.FOLDER, tmp_path / "teachers")
    monkeypatch.setattr(shipped, "FOLDER", tmp_path / "teachers")
    (tmp_path / "teachers" / "quickstart" / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(CheckpointError, match=r"quickstart/model\.safetensors: got a file with SHA-256"):
        teacher()
    assert teacher("--train-teacher") == "teacher to do"


def test_a_changed_training_is_refused_where_the_shipped_teacher_would_be_used():
    change = ["teacher.train.training.num_images=7"]
    with pytest.raises(ConfigError, match=r"train: got another training than .* 'quickstart'.*use.* --train-teacher"):
        load_job("quickstart", change)
    job = load_job("quickstart", change, train_teacher=True)
    assert job.teacher.shipped is None
    assert job.teacher.training.training.num_images == 7


def test_quickstart_trains_the_teacher_where_asked(monkeypatch):
    jobs: list[Job] = []
    monkeypatch.setattr("gancompress.cli.jobs.run_job", lambda job, directory: jobs.append(job))
    run("quickstart", "--train-teacher")
    run("quickstart")
    assert [job.teacher.shipped is None for job in jobs] == [True, False]


def test_nothing_is_trained_where_the_recipe_has_a_checkpoint(monkeypatch, capsys):
    command = ["gancompress", "compress", "cartoongan-slimming", "--train-teacher"]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit):
        main()
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith(
        "cartoongan-slimming: got teacher.checkpoint, expected teacher.train: there is nothing to train"
    )


def test_a_step_does_not_depend_on_a_training_that_is_not_run(tmp_path):
    """What a run from a shipped teacher depends on are that teacher's weights."""
    job = load_job("quickstart")
    shipped_only = job.model_copy(update={"teacher": job.teacher.model_copy(update={"train": None})})
    names = [
        [stage.directory.name for stage in Pipeline(each, tmp_path, print).stages()] for each in (job, shipped_only)
    ]
    assert names[0] == names[1]
    other = job.teacher.shipped.model_copy(update={"discriminator_sha256": None})
    changed = job.model_copy(update={"teacher": job.teacher.model_copy(update={"shipped": other})})
    assert [stage.directory.name for stage in Pipeline(changed, tmp_path, print).stages()] != names[0]


def test_a_run_becomes_a_shipped_teacher(folder, tmp_path, monkeypatch):
    path = ROOT / "scripts" / "ship_teacher.py"
    spec = spec_from_file_location("ship_teacher", path)
    script = module_from_spec(spec)
    spec.loader.exec_module(script)
    job = load_job("quickstart", ["teacher.train.network.config={ngf: 4}"], train_teacher=True)
    (tmp_path / "job.yaml").write_text(yaml.safe_dump(job.model_dump(mode="json")))
    network().save(tmp_path / "teacher")
    network("patchgan", ndf=4).save(tmp_path / "teacher" / "discriminator")
    lines = yaml.safe_load(script.ship(tmp_path, "own", True))
    teacher = ShippedTeacher(**lines["shipped"])
    assert teacher.load()[0].family == "resnet_6blocks"
    assert teacher.training["network"] == {"family": "resnet_6blocks", "config": {"ngf": 4}}
    again = load_job("quickstart", [f"teacher.shipped={lines['shipped']}", "teacher.train.network.config={ngf: 4}"])
    assert again.teacher.training is None
    monkeypatch.setattr(sys, "argv", [str(path), str(tmp_path / "no"), "own"])
    with pytest.raises(SystemExit) as exit:
        script.main()
    assert exit.value.code == 2
