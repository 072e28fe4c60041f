"""A package of somebody else adds a term, a task, data, a metric, a score and a mask, and a recipe uses them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import torch
import yaml

from gancompress.evaluation import Evaluator
from gancompress.importance import find_score
from gancompress.job import Job, load_job
from gancompress.perception.content_masks import parse_mask
from gancompress.pipeline import Pipeline
from gancompress.tasks import find_task

TRAINING = {"num_images": 4, "batch_size": 2, "checkpoint_every": 4, "log_every": 4, "preview_every": 0}
RECIPE = {
    "name": "outside",
    "task": {"kind": "tests.outside.negative:NegativeOptions", "weight": 2.0},
    "data": {"kind": "tests.outside.colours:ColoursConfig", "num_images": 4},
    "teacher": {
        "train": {
            "network": {"family": "resnet", "config": {"ngf": 4, "num_blocks": 1}},
            "discriminator": {"family": "patchgan", "config": {"ndf": 2, "n_layers": 1}},
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
        }
    ],
    "metrics": {"against_real": ["tests.outside.gap:gap"], "against_teacher": ["ssim"], "batch_size": 4},
    "exports": [],
}


def test_a_recipe_names_everything_by_import_path(tmp_path):
    recipe = tmp_path / "outside.yaml"
    recipe.write_text(yaml.safe_dump(RECIPE))
    job = load_job(str(recipe))
    assert Job(**yaml.safe_load(yaml.safe_dump(job.model_dump(mode="json")))) == job
    outcome = Pipeline(job, tmp_path / "run", lambda _: None).run()
    assert outcome is not None
    assert outcome.compressed.metrics["tests.outside.gap:gap"].value > 0
    assert outcome.compressed.cost.macs.true < outcome.teacher.cost.macs.true
    log = "".join(file.read_text() for file in (tmp_path / "run").rglob("*.jsonl"))
    assert "generator/edges" in log
    assert "generator/brightness" in log
    assert "generator/negative" in log


def test_python_uses_names_once_the_modules_are_imported():
    from tests.outside import alternating, colours, edges, gap, half, negative

    task = find_task({"kind": "negative", "weight": 3.0})
    assert task == negative.NegativeTask(weight=3.0)
    images = torch.rand(2, 3, 8, 8)
    assert parse_mask("half") == half.Half()
    assert parse_mask("half").load()(images, ())[..., :4].all()
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


def test_installed_entry_points_are_found_by_name_in_any_process(tmp_path):
    """With the files that pip would write, and nothing imported beforehand."""
    folder = tmp_path / "outside-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: outside\nVersion: 1.0\n")
    groups = {
        "terms": "edges = tests.outside.edges:Edges",
        "tasks": "negative = tests.outside.negative:NegativeOptions",
        "data": "colours = tests.outside.colours:ColoursConfig",
        "metrics": "gap = tests.outside.gap:gap",
        "scores": "alternating = tests.outside.alternating:alternating",
        "masks": "half = tests.outside.half:Half",
    }
    lines = [line for group, entry in groups.items() for line in (f"[gancompress.{group}]", entry)]
    (folder / "entry_points.txt").write_text("\n".join(lines))
    code = """
from gancompress.data import parse_data
from gancompress.importance import SCORES
from gancompress.losses import TERMS
from gancompress.evaluation import find_metric
from gancompress.perception.content_masks import MASKS
from gancompress.tasks import TASKS
print(TERMS.parse({"kind": "edges", "weight": 2}).model_dump())
print(TASKS.parse("negative").model_dump(), parse_data({"kind": "colours"}).kind, MASKS.parse("half").model_dump())
print(SCORES.find("alternating").__name__, find_metric("gap")[0].words)
"""
    root = Path(__file__).parents[1]
    environment = {"PYTHONPATH": f"{root / 'src'}:{root}:{tmp_path}", "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "{'kind': 'edges', 'weight': 2.0, 'step': 1}",
        "{'kind': 'negative', 'weight': 1.0} colours {'kind': 'half', 'part': 0.5}",
        "alternating mean absolute difference",
    ]
