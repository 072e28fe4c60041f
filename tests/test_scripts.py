"""Scripts that make what the documentation shows."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

import pytest
from PIL import Image

from gancompress.evaluation import rank_correlation
from gancompress.networks.generator import Generator
from gancompress.networks.registry import build
from tests.data.pictures import save_many

SCRIPTS = Path(__file__).parents[1] / "scripts"


def script(name: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a script as Python would, but in this process, which has PyTorch loaded."""
    command, code = [str(SCRIPTS / name), *map(str, arguments)], 0
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(StringIO()) as out, redirect_stderr(StringIO()) as err:
        patch.setattr(sys, "argv", command)
        try:
            runpy.run_path(command[0], run_name="__main__")
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
            err.write(str(end.code))
    return subprocess.CompletedProcess(command, code, out.getvalue(), err.getvalue())


def report(run: Path, macs: float, seed: int = 0, **metrics: float) -> Path:
    """A run of which only the figures are left."""
    networks = [
        {
            "name": name,
            "macs": {"true": count},
            "parameters": 1234,
            "metrics": {k: {"value": v, "better": "higher"} for k, v in own.items()},
        }
        for name, count, own in (("teacher", 8e6, {"psnr": 30.0}), ("compressed", macs, metrics))
    ]
    run.mkdir()
    (run / "report.json").write_text(json.dumps({"networks": networks, "seed": seed}))
    return run


def test_runs_side_by_side_with_means_over_seeds(tmp_path):
    first = report(tmp_path / "a", 1e6, seed=1, psnr=20.0, ssim=0.5)
    second = report(tmp_path / "b", 3e6, psnr=22.0, ssim=0.75)
    other = report(tmp_path / "c", 2e6, seed=1, psnr=19.0)
    result = script("compare_runs.py", f"ours={first},{second}", f"theirs={other}")
    assert result.stdout.splitlines() == [
        "| | runs | true MACs, M | parameters | psnr | ssim |",
        "|---|---|---|---|---|---|",
        "| teacher | 1 | 8.000 | 1,234 | 30.0 |  |",
        "| ours | 2 | 2.000 ± 12.7 | 1,234 | 21.0 ± 12.7 | 0.625 ± 1.588 |",
        "| theirs | 1 | 2.000 | 1,234 | 19.0 |  |",
    ]
    chosen = script("compare_runs.py", f"ours={first}", "--metrics", "ssim,lpips")
    assert chosen.returncode == 2
    assert "--metrics: got lpips, expected metrics of these runs: psnr, ssim" in chosen.stderr

    figure = tmp_path / "figure.png"
    tested = ["--baseline", "theirs", "--figure", figure, "--quality", "psnr"]
    result = script("compare_runs.py", f"ours={first},{second}", f"theirs={other}", *tested)
    assert result.stdout.splitlines()[-1] == "| ours | 1 of 1, p 1 |  |"  # one seed in common
    with Image.open(figure) as drawn:
        assert drawn.width > drawn.height
    wrong = script("compare_runs.py", f"ours={first}", "--figure", figure, "--quality", "lpips")
    assert "--quality: got lpips, expected a metric of these runs: psnr, ssim" in wrong.stderr
    wrong = script("compare_runs.py", f"ours={first}", "--baseline", "others")
    assert "--baseline: got others, expected one of the rows: ours" in wrong.stderr


def test_the_sign_test_counts_both_tails():
    sign_test = runpy.run_path(str(SCRIPTS / "compare_runs.py"))["sign_test"]
    assert [sign_test(*given) for given in ((3, 3), (0, 3), (5, 5), (2, 4), (5, 6))] == [0.25, 0.25, 1 / 16, 1, 14 / 64]


def test_the_rows_of_a_plan_run_once_with_every_seed(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    config = {"ngf": 8, "num_blocks": 2}
    Generator.from_module(build("resnet", config), "resnet", config).save(tmp_path / "teacher")
    base = {**TINY_SEARCH, "teacher": {"checkpoint": str(tmp_path / "teacher")}}
    (tmp_path / "base.yaml").write_text(json.dumps(base))
    rows = {"cut": [{"kind": "prune", "multiple": 1}], "cut, then refit": []}
    plan = {"recipe": str(tmp_path / "base.yaml"), "seeds": [0, 3], "set": {"exports": []}, "rows": rows}
    (tmp_path / "plan.yaml").write_text(json.dumps(plan))
    where = [tmp_path / "plan.yaml", "--out", tmp_path / "runs"]
    assert "found no finished run" in script("compare_runs.py", "--plan", *where).stderr
    unknown = script("run_plan.py", *where, "--rows", "fsp").stderr
    assert "--rows: got fsp, expected rows of" in unknown
    assert "plan.yaml: cut, cut, then refit" in unknown
    for row, seed in (("cut", 0), ("cut-then-refit", 0), ("cut-then-refit", 3)):
        (tmp_path / "runs" / row).mkdir(parents=True, exist_ok=True)
        report(tmp_path / "runs" / row / str(seed), 1e6, seed=seed, psnr_to_teacher=99.0)
    result = script("run_plan.py", *where)
    assert (result.returncode, result.stderr) == (0, "")
    assert [line.partition(":")[0] for line in result.stdout.splitlines()] == ["cut, seed 3"]  # the others are finished
    text = json.loads((tmp_path / "runs" / "cut" / "3" / "recipe.yaml").read_text())
    (tmp_path / "runs" / "cut" / "3" / "recipe.yaml").write_text(json.dumps({**text, "seed": 4}))
    assert "got the run of another recipe, expected that of the plan" in script("run_plan.py", *where).stderr
    result = script("compare_runs.py", "--plan", *where, "--baseline", "cut", "--metrics", "psnr_to_teacher")
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-1] == "| cut, then refit | 1 of 1, p 1 |"  # one is equal
    (tmp_path / "runs" / "cut-then-refit" / "3" / "report.json").unlink()
    drawn = [tmp_path / "plan.yaml", tmp_path / "lines.jpg", "--out", tmp_path / "runs", "--images", "2"]
    assert "found no finished run of seed 5" in script("draw_methods.py", *drawn, "--seed", "5").stderr
    assert script("draw_methods.py", *drawn, "--seed", "3").stderr == ""
    with Image.open(tmp_path / "lines.jpg") as image:
        assert image.height > image.width  # inputs, truth, teacher and the row, of two images each


def test_every_recipe_of_a_plan_is_checked_before_its_first_run(tmp_path):
    rows = {"cut": [{"kind": "prune", "multiple": 1}], "mistaken": [{"kind": "prun"}]}
    plan = {"recipe": "quickstart", "seeds": [0], "set": {"exports": []}, "rows": rows}
    (tmp_path / "plan.yaml").write_text(json.dumps(plan))
    result = script("run_plan.py", tmp_path / "plan.yaml", "--out", tmp_path / "runs")
    assert result.returncode == 1
    assert "mistaken/0/recipe.yaml" in result.stderr
    assert "prun" in result.stderr
    assert [each.name for each in (tmp_path / "runs" / "cut" / "0").iterdir()] == ["recipe.yaml"]


def test_a_plan_may_run_at_a_fraction_of_its_images(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    from plan import Plan  # pyright: ignore[reportMissingImports]

    training = {"num_images": 10, "ema_half_life": 5, "batch_size": 4, "num_decay_images": 0}
    steps = [{"kind": "prune", "refit": {"num_images": 64}}, {"kind": "slim", "remove_every": 5, "training": training}]
    cut, slim = Plan("some", "quickstart", [0], {}, {"row": steps}, {}).recipe("row", 0, 0.2)["steps"]
    assert cut == steps[0]
    assert slim["training"] == {"num_images": 2, "ema_half_life": 1, "batch_size": 4, "num_decay_images": 0}
    assert slim["remove_every"] == 1


def test_a_row_of_a_plan_may_change_options_of_its_own(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    from plan import Plan  # pyright: ignore[reportMissingImports]

    (tmp_path / "plan.yaml").write_text(
        "{recipe: quickstart, seeds: [0], set: {threads: 2, budget: {reduction: 8}}, rows: {cut: [{kind: prune}], "
        "smaller cut: {steps: [{kind: prune}], set: {budget: {reduction: 20}}}}}"
    )
    plan = Plan.read(tmp_path / "plan.yaml")
    assert plan.recipe("cut", 0)["set"] == {"threads": 2, "budget": {"reduction": 8}}
    assert plan.recipe("smaller cut", 0)["set"] == {"threads": 2, "budget": {"reduction": 20}}
    assert plan.recipe("smaller cut", 0)["steps"] == plan.recipe("cut", 0)["steps"] == [{"kind": "prune"}]


def test_an_original_is_imported_without_its_packages_and_without_a_gpu(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS / "peers"))
    from originals import checkout  # pyright: ignore[reportMissingImports]

    (tmp_path / "clone" / "parts").mkdir(parents=True)
    (tmp_path / "clone" / "parts" / "vision.py").write_text(
        "import cv2\nfrom torchvision import models, transforms\nimport torch\nfrom metric import fid\n"
        "cv2.resize(1)\nnetwork = models.vgg16(pretrained=True).features.cuda()\n"
        "image = transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.5,) * 3, (0.5,) * 3)])\n"
        "zeros = torch.cuda.FloatTensor(2, 3).fill_(0)\n"
    )
    where, missing = Path.cwd(), tmp_path / "missing"
    for _ in range(2):  # the second time the modules are imported again
        with checkout(tmp_path / "clone", tmp_path / "work", ["--seed", "1"], {"metric": {"fid": 4}}):
            from parts import vision  # pyright: ignore[reportMissingImports]

            assert (vision.fid, vision.zeros.device.type, sys.argv[1:]) == (4, "cpu", ["--seed", "1"])
            assert vision.image(Image.new("RGB", (2, 1), (255, 0, 0))).flatten().tolist() == [1, 1, -1, -1, -1, -1]
            assert Path.cwd() == tmp_path / "work"
        assert Path.cwd() == where
        assert not {"cv2", "torchvision", "metric", "parts", "parts.vision"} & set(sys.modules)
    with pytest.raises(SystemExit, match=f"{missing}: found no such folder, expected a checkout"):
        checkout(missing, tmp_path, [], {}).__enter__()


def test_a_grid_of_what_networks_make_of_photographs(tmp_path):
    pytest.importorskip("onnxruntime", reason="loading files needs the runtimes' packages")
    photos = save_many(tmp_path / "photos", 2, height=40, width=60)
    config = {"ngf": 4, "num_blocks": 1}
    Generator.from_module(build("resnet", config), "resnet", config).save(tmp_path / "net")
    result = script("draw_samples.py", photos, tmp_path / "grid.png", f"small={tmp_path / 'net'}", "--size", "32x48")
    assert (result.returncode, result.stderr) == (0, "")
    with Image.open(tmp_path / "grid.png") as grid:
        assert grid.width == 2 * 240 + 6  # two columns, five times larger
        assert grid.height > 2 * 160


def test_three_students_of_a_teacher_from_photographs_alone(tmp_path):
    for split, count in (("train", 8), ("test", 2)):
        save_many(tmp_path / "photos" / split, count, height=40, width=48)
    config = {"ngf": 8, "num_blocks": 1}
    Generator.from_module(build("resnet", config), "resnet", config).save(tmp_path / "net")
    small = ["--train", "train", "--test", "test", "--size", 32, "--images", 8, "--refit-images", 8]
    small += ["--batch", 4, "--reduction", 2, "--workers", 0, "--out", tmp_path / "run"]
    result = script("compress_cartoongan.py", tmp_path / "net", tmp_path / "photos", *small)
    assert result.returncode == 0, result.stderr
    rows = result.stdout.splitlines()[-3:]
    assert [row.split("|")[1].strip() for row in rows] == [
        "cut, fine-tuned",
        "cut, refit, fine-tuned",
        "cut, refit, fine-tuned with a discriminator",
    ]


@pytest.mark.slow
def test_student_steps_of_two_source_trees_are_timed_in_turns(tmp_path):
    config = {"ngf": 4}
    Generator.from_module(build("resnet_6blocks", config), "resnet_6blocks", config).save(tmp_path / "teacher")
    tree, small = SCRIPTS.parent, ["--images", 8, "--passes", 2, "--rounds", 1, "--threads", 1]
    small += ["--set", "data.image_size=32", "--set", "steps.0.student={family: resnet_6blocks, config: {ngf: 4}}"]
    small += ["--set", "steps.0.multiple=1", "--set", "steps.0.distillation.terms=[l1]"]
    result = script("benchmark_training.py", tree, tree, "--teacher", tmp_path / "teacher", *small)
    assert result.returncode == 0, result.stderr
    assert [line.split("|")[2].strip() for line in result.stdout.splitlines()[-2:]] == ["first", "later"]


TINY_LEARNING = {
    "distillation": {"terms": [{"kind": "l1", "weight": 100}, {"kind": "features"}]},
    "training": {"num_images": 4, "batch_size": 2, "checkpoint_every": 4, "log_every": 4, "preview_every": 0},
}
TINY_SEARCH = {
    "name": "tiny",
    "task": "paired",
    "data": {"kind": "procedural", "image_size": 16, "num_images": {"train": 8, "search": 4, "test": 4}},
    "budget": {"reduction": 4},
    "steps": [
        {
            "kind": "distill",
            "student": {"family": "resnet", "config": {"ngf": 8, "num_blocks": 2, "separable": True}},
            "keep": 1.0,
            **TINY_LEARNING,
        },
        {"kind": "supernet", "space": {"max_choices": 3, "multiple": 2}, **TINY_LEARNING},
        {
            "kind": "search",
            "space": {"max_choices": 3, "multiple": 2},
            "options": {"method": "random", "num_candidates": 2},
        },
        {"kind": "finetune", **TINY_LEARNING},
    ],
}


def test_a_search_is_measured_by_correlations_and_over_seeds(tmp_path):
    config = {"ngf": 8, "num_blocks": 2}
    Generator.from_module(build("resnet", config), "resnet", config).save(tmp_path / "teacher")
    recipe = tmp_path / "tiny.yaml"
    recipe.write_text(json.dumps({**TINY_SEARCH, "teacher": {"checkpoint": str(tmp_path / "teacher")}}))
    where = (recipe, "--out", tmp_path / "out")

    result = script("measure_search.py", "correlation", *where, "--num-plans", 4, "--few-images", 2)
    assert result.returncode == 0, result.stderr
    assert "| ssim to teacher, 2 images | " in result.stdout
    found = json.loads((tmp_path / "out" / "correlation.json").read_text())
    before, after = ([plan[when] for plan in found["plans"]] for when in ("before", "after"))
    expected = rank_correlation([each["psnr to real"] for each in before], [each[found["truth"]] for each in after])
    assert len(before) == 4
    assert found["correlation"]["psnr to real"]["spearman"] == expected

    result = script("measure_search.py", "compare", *where, "--seeds", 1)
    assert result.returncode == 0, result.stderr
    found = json.loads((tmp_path / "out" / "compare.json").read_text())["compared"]
    assert set(found) == {
        "searched", "random at the budget", "uniform", "uniform, no supernet", "uniform from the start",
    }  # fmt: skip
    assert all(0.9 <= results[0]["share of the budget"] <= 1 for results in found.values())
    assert "searched minus uniform, ssim to teacher: " in result.stdout


def test_what_a_search_is_measured_on_must_have_a_teacher_and_the_four_steps(tmp_path):
    result = script("measure_search.py", "compare", "quickstart-search", "--out", tmp_path / "out")
    assert result.returncode == 2
    assert "quickstart-search: got a recipe that trains its teacher, expected a trained one; add --set" in result.stderr
    checkpoint = f"teacher={{checkpoint: {tmp_path / 'teacher'}}}"
    Generator.from_module(build("resnet_6blocks", {"ngf": 8}), "resnet_6blocks", {"ngf": 8}).save(tmp_path / "teacher")
    result = script("measure_search.py", "compare", "quickstart", "--out", tmp_path / "out", "--set", checkpoint)
    assert result.returncode == 2
    assert "steps: got distill, expected distill, supernet, search, finetune" in result.stderr


def test_the_check_of_a_gpu_runs_without_one():
    result = script(
        "gpu_check.py", "--device", "cpu", "--tiny", "--only", "ResNet-9", "--part", "inference", "--part", "training"
    )
    assert result.returncode == 0, result.stderr
    rows = [line.strip("| ").split(" | ") for line in result.stdout.splitlines() if line.startswith("| ResNet-9")]
    eager, *others = rows[:4]
    assert eager[:3] == ["ResNet-9", "1", "eager"]
    assert eager[5:] == ["1.00", "0.0e+00"]
    assert [row[0] for row in others].count("ResNet-9, student") == 2
    assert all(0 < float(row[-1]) < 0.2 for row in others if row[2] == "eager, bf16")
    assert rows[8][1] == "1"
    assert float(rows[8][2]) > 0


def test_a_run_is_in_the_gallery_once(tmp_path):
    page, run = tmp_path / "results" / "gallery.md", tmp_path / "run"
    page.parent.mkdir()
    (run / "samples").mkdir(parents=True)
    page.write_text("# Gallery\n")
    Image.new("RGBA", (900, 90), (200, 0, 0, 0)).save(run / "samples" / "test.png")
    for gain in ("7× smaller", "8× smaller"):
        (run / "report.json").write_text(json.dumps({"title": "my run", "headline": [gain]}))
        assert script("draw_gallery.py", page, run, "Mine").returncode == 0
    assert page.read_text().split("\n\n", 1)[1] == (
        "<!-- run my_run: begin -->\n## Mine\n\n![Input, original and compressed network of the run my run]"
        "(../images/gallery_my_run.jpg)\n\n* 8× smaller\n<!-- run my_run: end -->\n"
    )
    picture = Image.open(tmp_path / "images" / "gallery_my_run.jpg")
    assert (picture.size, picture.getpixel((320, 32))) == ((640, 64), (255, 255, 255))


def test_the_zoo_continues_from_its_figures(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    checks = {"views": 0.0, "reordered": 2e-7, "zeroed": float("nan")}
    found = {"seconds": 3.2, "parameters": 2e6, "left": 0.25, "macs_left": 0.3, "reasons": [], "notes": ["draws noise"]}
    rows = {
        "Good": {"channels": found | checks, "onnx": {"difference": 1e-6}},
        "Wrong": {"channels": found | checks | {"views": 0.1, "left": 0.8, "seconds": 31}, "onnx": {"failed": "no"}},
        "Refused": {"channels": {"failed": "trace: values decide"}, "onnx": {"failed": "not traced"}},
    }
    (tmp_path / "zoo.json").write_text(json.dumps(rows))
    result = script("measure_zoo.py", "--out", tmp_path / "zoo.json", "--only", ",".join(rows))
    assert result.returncode == 0, result.stderr
    assert "| Good | 2.00 M | 3.2 | 25% | 30% | 0 | 2e-07 | - | 1e-06 | draws noise |" in result.stdout
    assert "| Refused | | | | | | | | | trace: values decide |" in result.stdout
    summary = "3 networks: 2 traced, 1 narrow to 60 % or less, 1 wrong, 1 slower than 30 s."
    assert result.stdout.splitlines()[-1] == summary


@pytest.mark.parametrize(
    ("kind", "family", "config"),
    [("labels", "resnet_6blocks", {"in_channels": 12, "ngf": 4}), ("noise", "sngan_32", {"ngf": 2})],
)
def test_tasks_are_drawn(tmp_path, kind, family, config):
    Generator.from_module(build(family, config), family, config).save(tmp_path / "net")
    result = script("draw_tasks.py", kind, tmp_path / "out.png", tmp_path / "net", tmp_path / "net")
    assert result.returncode == 0, result.stderr
    with Image.open(tmp_path / "out.png") as image:
        assert image.width > 400
