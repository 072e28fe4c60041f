"""A package of somebody else adds to every registry, one file for each thing, and Python and recipes use them."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from gancompress.channels.rules.registry import RULES
from gancompress.deploy.rewrites import rewritten
from gancompress.errors import CheckpointError, ConfigError
from gancompress.evaluation import Evaluator
from gancompress.importance import find_score
from gancompress.jobs.pipeline import Pipeline
from gancompress.jobs.recipe import Job, load_job
from gancompress.losses import AdversarialLoss, MultiScaleRgb, PerceptualOptions
from gancompress.networks.importers import load_generator
from gancompress.networks.registry import build
from gancompress.perception.content_masks import MASKS
from gancompress.registry import Registry, import_object
from gancompress.tasks import find_task

ROOT = Path(__file__).parents[1]
MOST_LINES = 80
"""Lines of the longest addition, as CONTRIBUTING.md states them."""
TRAINING = {"num_images": 4, "batch_size": 2, "checkpoint_every": 4, "log_every": 4, "preview_every": 0}
RECIPE = {
    "name": "outside",
    "task": {"kind": "tests.outside.negative:NegativeOptions", "weight": 2.0},
    "data": {"kind": "tests.outside.colours:ColoursConfig", "num_images": 4},
    "teacher": {
        "train": {
            "network": {"family": "tests.outside.tinynet:TinyNet", "config": {"width": 8}},
            "discriminator": {"family": "patchgan", "config": {"ndf": 2, "n_layers": 1}},
            "terms": [{"kind": "l2", "weight": 2}, {"kind": "tests.outside.edges:Edges", "weight": 3, "step": 4}],
            "training": TRAINING,
        }
    },
    "steps": [
        {
            "kind": "distill",
            "keep": 0.5,
            "multiple": 1,
            "score": "tests.outside.alternating:alternating",
            "distillation": {
                "content": "tests.outside.half:Half",
                "terms": [
                    {"kind": "tests.outside.edges:Edges", "weight": 5, "step": 2},
                    {"kind": "tests.outside.edges:brightness", "weight": 1},
                ],
            },
            "training": TRAINING,
        },
        {"kind": "tests.outside.rounded:Rounded", "bits": 5},
    ],
    "metrics": {"against_real": ["tests.outside.gap:gap"], "against_teacher": ["ssim"], "batch_size": 4},
    "exports": [{"format": "tests.outside.npz:Npz", "rewrites": ["tests.outside.doubled:doubled"]}],
}

OUTSIDE = {
    "adversarial": ("gancompress.losses:ADVERSARIAL", "exponential", "tests.outside.exponential:EXPONENTIAL"),
    "block_scores": ("gancompress.importance:BLOCK_SCORES", "first_stay", "tests.outside.first_stay:first_stay"),
    "data": ("gancompress.data:DATASETS", "colours", "tests.outside.colours:ColoursConfig"),
    "families": ("gancompress.networks.registry:FAMILIES", "tinynet", "tests.outside.tinynet:TinyNet"),
    "importers": ("gancompress.networks.importers:IMPORTERS", "numbered", "tests.outside.numbered:NUMBERED"),
    "layouts": ("gancompress.networks.layout:LAYOUTS", "old_names", "tests.outside.old_names:OLD_NAMES"),
    "masks": ("gancompress.perception.content_masks:MASKS", "half", "tests.outside.half:Half"),
    "metrics": ("gancompress.evaluation:METRICS", "gap", "tests.outside.gap:gap"),
    "perceptual": ("gancompress.losses:PERCEPTUAL", "first_map", "tests.outside.first_map:FIRST_MAP"),
    "reconstructions": ("gancompress.losses:RECONSTRUCTIONS", "charbonnier", "tests.outside.charbonnier:charbonnier"),
    "rewrites": ("gancompress.deploy.rewrites:REWRITES", "doubled", "tests.outside.doubled:doubled"),
    "rules": ("gancompress.channels.rules.registry:RULES", "outside.negation", "tests.outside.negation:negation"),
    "runtimes": ("gancompress.deploy:RUNTIMES", "npz", "tests.outside.npz:Npz"),
    "scores": ("gancompress.importance:SCORES", "alternating", "tests.outside.alternating:alternating"),
    "search_methods": ("gancompress.architecture_search:METHODS", "smallest", "tests.outside.smallest:Smallest"),
    "steps": ("gancompress.jobs.steps:STEPS", "rounded", "tests.outside.rounded:Rounded"),
    "tasks": ("gancompress.tasks:TASKS", "negative", "tests.outside.negative:NegativeOptions"),
    "terms": ("gancompress.losses:TERMS", "edges", "tests.outside.edges:Edges"),
}
"""For every registry, what the package adds: place of the registry, name and import path."""


@pytest.fixture(autouse=True)
def _as_before(monkeypatch):
    """Find nothing that another test registered, and leave nothing behind."""
    for place, name, _ in OUTSIDE.values():
        registry = import_object(place)
        list(registry)
        kept = {key: value for key, value in registry._values.items() if key != name}
        monkeypatch.setattr(registry, "_values", kept)
    for module in [name for name in sys.modules if name.startswith("tests.outside.")]:
        monkeypatch.delitem(sys.modules, module)


def test_the_package_adds_to_every_registry():
    sources = "".join(path.read_text() for path in (ROOT / "src").rglob("*.py"))
    assert set(re.findall(r'Registry(?:\[.*\])?\(\s*"(\w+)"', sources)) == set(OUTSIDE)


def test_each_addition_is_one_short_file_that_needs_no_other():
    files = {path.partition(":")[0].replace(".", "/") + ".py" for _, _, path in OUTSIDE.values()}
    assert len(files) == len(OUTSIDE)
    for name in sorted(files):
        text = (ROOT / name).read_text()
        assert not re.search(r"(from|import) (\.|tests)", text), name
        assert len(text.splitlines()) <= MOST_LINES, name


@pytest.mark.parametrize("group", OUTSIDE)
def test_a_decorator_and_an_import_path(group):
    place, name, path = OUTSIDE[group]
    registry: Registry[Any] = import_object(place)
    assert registry.group == f"gancompress.{group}"
    with pytest.raises(ConfigError, match=rf"^here: got '{name}', expected .*(; did you mean|; known: )"):
        registry.find(name, "here")
    by_path = registry.find(path)
    assert name in registry, "importing the module has registered it"
    assert type(registry.find(name)) is type(by_path)
    module, _, attribute = path.partition(":")
    with pytest.raises(ConfigError, match=rf"^here: {path}s: {module} has no '{attribute}s', did you mean"):
        registry.find(f"{path}s", "here")


def test_installed_entry_points_are_found_by_name_in_any_process(tmp_path):
    """With the files that pip would write, and nothing imported beforehand."""
    folder = tmp_path / "outside-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: outside\nVersion: 1.0\n")
    groups = {group: f"{name} = {path}" for group, (_, name, path) in OUTSIDE.items()}
    lines = [line for group, entry in groups.items() for line in (f"[gancompress.{group}]", entry)]
    (folder / "entry_points.txt").write_text("\n".join(lines))
    code = f"""
import sys
from gancompress.registry import import_object
for place, name, path in {[*OUTSIDE.values()]}:
    registry = import_object(place)
    assert name in list(registry) and path.partition(":")[0] not in sys.modules, place
    print(name, type(registry.find(name)).__name__)
from gancompress.losses import TERMS
print(TERMS.parse({{"kind": "edges", "weight": 2}}).model_dump())
"""
    environment = {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}:{tmp_path}", "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert [line.partition(" ")[0] for line in done.stdout.splitlines()[:-1]] == [
        name for _, name, _ in OUTSIDE.values()
    ]
    assert done.stdout.splitlines()[-1] == "{'kind': 'edges', 'weight': 2.0, 'step': 1}"


def test_a_recipe_names_everything_by_import_path(tmp_path):
    recipe = tmp_path / "outside.yaml"
    recipe.write_text(yaml.safe_dump(RECIPE))
    job = load_job(str(recipe))
    assert Job(**yaml.safe_load(yaml.safe_dump(job.model_dump(mode="json")))) == job
    outcome = Pipeline(job, tmp_path / "run", lambda _: None).run()
    assert outcome is not None
    assert outcome.compressed.metrics["tests.outside.gap:gap"].value > 0
    assert outcome.compressed.cost.macs.true < outcome.teacher.cost.macs.true
    assert outcome.compressed.generator.family == "tests.outside.tinynet:TinyNet"
    weights = torch.cat([tensor.flatten() for tensor in outcome.compressed.generator.state.values()]) * 2**5
    assert torch.equal(weights, weights.round())
    (file,) = outcome.files.reports
    assert (file.path.name, file.rewrites[0].note) == ("model.npz", "nothing to double")
    for step, names in {"teacher": ("l2", "edges"), "1-distill": ("edges", "brightness")}.items():
        (log,) = (tmp_path / "run" / "steps").glob(f"{step}-*/losses.jsonl")
        assert all(f"generator/{name}" in log.read_text() for name in names)
    assert not (tmp_path / "run" / "teacher" / "discriminator").exists(), "nothing trained it"


def test_python_uses_names_once_the_modules_are_imported(tmp_path):
    for _, _, path in OUTSIDE.values():
        importlib.import_module(path.partition(":")[0])
    from tests.outside import alternating, colours, edges, gap, half, negation, negative

    task = find_task({"kind": "negative", "weight": 3.0})
    assert task == negative.NegativeTask(weight=3.0)
    images = torch.rand(2, 3, 8, 8)
    assert MASKS.parse("half") == half.Half()
    assert MASKS.parse("half").load()(images, ())[..., :4].all()
    assert find_score("alternating") is alternating.alternating
    assert find_score(alternating.alternating) is alternating.alternating
    evaluator = Evaluator(["gap"])
    evaluator.add(images, images / 2)
    (result,) = evaluator.results()
    assert (result.name, result.num_images) == ("gap", 2)
    assert gap.gap(images, images).sum() == 0
    item = colours.ColoursConfig(size=8).open("test")[1]
    assert torch.equal(item["target"], -item["input"])
    assert edges.Edges.kind == "edges"
    assert float(AdversarialLoss("exponential").generator(torch.zeros(3))) == 1
    assert MultiScaleRgb(distance="charbonnier").distance == "charbonnier"
    assert PerceptualOptions(published="first_map").settings().content == (1.0,)
    assert RULES.get("outside.negation") is negation.negation
    network = build("tinynet", {"width": 8})
    assert [change.note for change in rewritten(network, ["doubled"])[1]] == ["nothing to double"]


def test_a_file_is_read_by_the_importer_of_another_package(tmp_path):
    path = tmp_path / "half.numbers"
    path.write_text("0.5")
    with pytest.raises(CheckpointError):
        load_generator(path)
    importlib.import_module("tests.outside.numbered")
    assert all((tensor == 0.5).all() for tensor in load_generator(path).state.values())


def test_a_file_is_read_by_the_layout_of_another_package(tmp_path):
    importlib.import_module("tests.outside.old_names")
    config = {"ngf": 2, "num_blocks": 1}
    network = build("resnet", config)
    torch.save({f"old/{name}": tensor for name, tensor in network.state_dict().items()}, tmp_path / "old.pt")
    read = load_generator(tmp_path / "old.pt")
    assert read.architecture.options["ngf"] == 2
    image = torch.rand(1, 3, 16, 16)
    with torch.no_grad():
        assert torch.equal(read.build()(image), network.eval()(image))
