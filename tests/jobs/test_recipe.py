"""Recipes: validation with all errors at once, changes, and the recipes that come with the package."""

from __future__ import annotations

import pytest
import torch
import yaml

from gancompress.channels import trace
from gancompress.cost import CostModel
from gancompress.deploy import known_formats
from gancompress.errors import ConfigError, ExportError
from gancompress.jobs.pipeline import Pipeline
from gancompress.jobs.recipe import Job, load_job
from gancompress.jobs.recipe_text import recipe_names, recipe_text
from gancompress.methods.budget import Budget
from gancompress.networks.generator import Generator
from gancompress.networks.registry import build
from gancompress.tasks.inputs import Inputs


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_is_valid_and_comes_back_from_its_dump(name):
    job = load_job(name)
    assert job.name == name
    again = Job(**yaml.safe_load(yaml.safe_dump(job.model_dump(mode="json"))))
    assert again == job


def test_changes_reach_into_lists():
    job = load_job(
        "quickstart-search", ["seed=3", "steps.0.training.num_images=7", "steps.0.distillation.terms.gan.weight=1e-2"]
    )
    assert job.seed == 3
    assert job.steps[0].training.num_images == 7
    assert job.steps[0].distillation.adversarial.weight == 0.01


NO_EXPORT = "exports=[]"

MISTAKES = {
    "step option": (["steps.0.kepe=1"], r"steps\.0\.kepe: unknown option, did you mean 'keep'\?"),
    "step kind": (["steps.0.kind=distil"], r"kind: got 'distil', expected a kind of step; did you mean 'distill'\?"),
    "task": (["task=pared"], r"task: got 'pared', expected a task; did you mean 'paired'\?"),
    "data kind": (["data.kind=procedura"], r"data\.kind: got 'procedura'.*did you mean 'procedural'\?"),
    "two teachers": (["teacher.checkpoint=x.pth"], r"teacher: got both or none of 'checkpoint' and 'train'"),
    "no teacher": (["teacher={family: unet_256}"], r"teacher: got both or none of 'checkpoint' and 'train'"),
    "a teacher that is not shipped": (
        ["teacher.shipped.name=quickstrat"],
        r"teacher\.shipped\.name: got 'quickstrat', expected a teacher that comes.*did you mean 'quickstart'\?",
    ),
    "no checksum": (["teacher.shipped.sha256=12ab"], r"shipped\.sha256: got '12ab', expected .* 64 hexadecimal digits"),
    "another training than that of the shipped teacher": (
        ["teacher.train.training.batch_size=3"],
        r"teacher: train: got another training than that of the shipped teacher 'quickstart'.*--train-teacher",
    ),
    "two budgets": (
        ["budget.macs=1e9"],
        r"budget: expected exactly one of 'reduction', 'macs', .* 'bytes' and 'latency_ms'",
    ),
    "a latency anywhere": (
        ["budget={latency_ms: 12}"],
        r"budget: got one of 'latency_ms' and 'runtime', expected both or none; runtimes are eager, onnxruntime, open",
    ),
    "a latency on what does not exist": (["budget={latency_ms: 12, runtime: openvin}"], r"budget\.runtime: "),
    "threads of nothing": (
        ["budget={macs: 1e9, threads: 2}"],
        r"budget: threads: got a number without 'latency_ms', expected none; drop it, or give latency_ms",
    ),
    "a step that counts": (
        ["budget={latency_ms: 12, runtime: openvino}", "steps.3={kind: slim}"],
        r"steps\.3: got 'slim' with a budget in latency_ms, which it cannot count in; .* distill, .*search",
    ),
    "no budget for a student": (
        ["budget=", "steps=[{kind: prune, keep: 0.5}, {kind: distill}]"],
        r"steps\.1: got 'distill' without a budget, expected one, .*reduction: 8}; .* take 'finetune'",
    ),
    "no budget for a search": (["budget="], r"steps\.2: got 'search' without a budget"),
    "no budget for coevolution": (["budget=", "steps=[coevolve]"], r"steps\.0: got 'coevolve' without a budget"),
    "a latency of integers": (
        ["budget={latency_ms: 12, runtime: openvino}", "steps=[{kind: distill, quantization: {}}]", NO_EXPORT],
        r"steps\.0: got quantization with a budget in latency_ms, expected a float step",
    ),
    "a metric": (["metrics.against_real=[ssm]"], r"metrics\.against_real: metric.*'ssm'.*did you mean 'ssim'"),
    "a metric's network": (
        ["steps.2.metric=fd_alexnet"],
        r"steps\.2\.metric: metric fd_alexnet: got no network 'alexnet'",
    ),
    "pairs": (
        ["task=unpaired", "steps.2.metric=fd_x", "metrics.networks.x.path=x", "metrics.against_real=[psnr]"],
        r"metrics\.against_real: got 'psnr', which compares pairs, but the task has none",
    ),
    "pairs in a search": (
        ["task=unpaired", "steps.2.against=real", "metrics={}"],
        r"steps\.2\.metric: got 'psnr', which compares pairs, but the task has none",
    ),
    "a kind that is no name": (["steps.0.kind=[distill]"], r"kind: got \['distill'\], expected a kind of step"),
    "no targets": (
        ["data={kind: images, root: x, transform: {load_size: 16}}"],
        r"task: got 'paired' with data of kind 'images', which has no targets",
    ),
    "a set and more": (
        ["steps.1.space={config_set: resnet-channels-32, min_keep: 0.5}"],
        r"steps\.1\.space: min_keep: expected none with config_set",
    ),
    "a format that does not exist": (
        ["exports=[onxx]"],
        r"exports\.0\.format: got the format 'onxx', .* mean 'onnx'\?",
    ),
    "a page in place of a file": (
        ["exports=[web]"],
        r"exports\.0\.format: got 'web', which is a page, expected one of",
    ),
    "a latency on what times no layers": (
        ["budget={latency_ms: 5, runtime: compiled}"],
        r"budget\.runtime: got the runtime 'compiled', expected one of eager, onnxruntime, ",
    ),
    "the fastest file of a format that is not timed": (
        ["exports=[{format: torch, precision: fastest}]"],
        r"exports\.0: precision: got fastest for torch, expected fp32",
    ),
    "a quality that nothing keeps to": (
        ["exports=[{format: onnx, min_psnr_db: 20}]"],
        r"min_psnr_db: got it without precision int8 or fastest, expected one of the two",
    ),
    "threads of what is not timed": (
        ["exports=[{format: onnx, precision: int8, threads: 1}]"],
        r"threads: got it without precision fastest, expected that; no other precision is timed",
    ),
    "rewrites of the fastest file": (
        ["exports=[{format: onnx, precision: fastest, rewrites: [sliced_reflection]}]"],
        r"rewrites: got some with precision fastest, which chooses them itself; remove them",
    ),
    "one file twice": (
        ["exports=[onnx, {format: onnx, precision: int8}, {format: onnx, precision: fp32}]"],
        r"exports\.2: got a second model\.onnx, expected files of different formats or precisions; leave one out",
    ),
    "no value": (["seed"], r"--set: got 'seed', expected OPTION=VALUE"),
    "no place": (["steps.9.keep=1"], r"--set: got 'steps\.9\.keep', but the recipe has no such place"),
}


LABELLED = {
    "a task without label maps": (
        ["data={kind: aligned, root: x, transform: {load_size: 16}}"],
        r"got data of kind 'aligned', expected label maps with photographs; take kind labels, cityscapes",
    ),
    "a segmentation network of other classes": (
        ["metrics.networks.espnet={path: x, num_classes: 19}"],
        r"metrics\.networks\.espnet: num_classes: got 19, but the label maps of the data set have 11 classes; correct",
    ),
    "a label that would count": (
        ["metrics.networks.espnet={path: x, num_classes: 11}"],
        r"metrics\.networks\.espnet: ignore_index: got 255, expected 11, the label of pixels that the data set's",
    ),
    "a protocol of another data set": (
        ["metrics.networks.espnet={path: x, protocol: cityscapes_drn}"],
        r"protocol: got cityscapes_drn, which is for label maps of 35 classes, but the data set has 11; give",
    ),
    "a protocol and its classes": (
        ["metrics.networks.espnet={path: x, num_classes: 11, protocol: cityscapes_drn}"],
        r"metrics\.networks\.espnet: got num_classes beside 'protocol', expected one of them",
    ),
    "a published network and a file": (
        ["metrics.networks.espnet={path: x, published: mobilenet_v2}"],
        r"metrics\.networks\.espnet: got both of 'path' and 'published', expected one",
    ),
    "too few names": (
        ["data.classes.names=[sky]"],
        r"data\.classes: names: got 1, expected one for each of 11 classes",
    ),
}


@pytest.mark.parametrize("name", LABELLED)
def test_mistakes_about_label_maps(name):
    changes, message = LABELLED[name]
    with pytest.raises(ConfigError, match=message) as error:
        load_job("camvid-gaugan", changes)
    assert "\n" not in str(error.value)


def test_a_semantic_task_has_pairs():
    job = load_job("camvid-gaugan", ["metrics={against_real: [psnr]}", "steps.2.metric=ssim"])
    assert job.metrics.against_real == ("psnr",)
    assert load_job("camvid-gaugan", ["metrics={}", "steps.2.metric=ssim"]).metrics.against_real == ("psnr", "ssim")


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes(name):
    changes, message = MISTAKES[name]
    with pytest.raises(ConfigError, match=message) as error:
        load_job("quickstart-search", changes)
    assert "\n" not in str(error.value)


def test_all_stands_for_every_format_and_precision():
    job = load_job("quickstart", ["exports=[{format: all, min_psnr_db: 35}]"])
    formats = known_formats()
    expected = {(name, precision) for name, kind in formats.items() for precision in kind.precisions}
    assert {(each.format, each.precision or "fp32") for each in job.exports} == expected
    assert all(each.if_installed for each in job.exports)
    assert {each.min_psnr_db for each in job.exports if each.precision == "int8"} == {35}
    only = load_job("quickstart", ["exports=[{format: all, precision: int8}]"])
    assert [each.format for each in only.exports] == [name for name in formats if formats[name].calibrates("int8")]
    assert Job(**yaml.safe_load(yaml.safe_dump(job.model_dump(mode="json")))) == job


def test_all_files_of_a_network_trained_in_integers_hold_its_integers():
    job = load_job("quickstart", ["steps.99={kind: quantize}", "exports=[all]"])
    found = [(each.format, each.precision) for each in job.exports]
    assert found == [("onnx", None), ("onnx", "int8"), ("onnx_fixed", "int8"), ("openvino", "int8")]


def test_a_change_of_one_step_leaves_those_written_with_the_same_anchor():
    job = load_job("quickstart-search", ["steps.1.space.multiple=8"])
    assert [job.steps[1].space.multiple, job.steps[2].space.multiple] == [8, 4]


def test_without_pairs_nothing_is_compared_with_real_images_unasked():
    changes = ["metrics={}"]  # and the search compares with the teacher by default
    assert load_job("quickstart-search", changes).metrics.against_real == ("psnr", "ssim")
    assert load_job("quickstart-search", ["task=unpaired", *changes]).metrics.against_real == ()


def test_a_recipe_extends_one_in_its_own_folder(tmp_path):
    (tmp_path / "base.yaml").write_text("extends: quickstart-search\nseed: 5\n")
    (tmp_path / "top.yaml").write_text("extends: base.yaml\n")
    assert load_job(str(tmp_path / "top.yaml")).seed == 5


def test_a_recipe_extends_another(tmp_path):
    middle, top = tmp_path / "middle.yaml", tmp_path / "top.yaml"
    middle.write_text("extends: quickstart-search\nset: {steps.0.keep: 0.5, seed: 3}\nbudget: {parameters: 1e5}\n")
    top.write_text(f"# On top.\nextends: {middle}\nname: top\nset: {{seed: 4}}\n")
    job, base = load_job(str(top)), load_job("quickstart-search")
    assert (job.name, job.seed, job.budget, job.steps[0].keep) == ("top", 4, Budget(parameters=1e5), 0.5)
    assert job.steps[1:] == base.steps[1:]
    complete = tmp_path / "complete.yaml"
    complete.write_text(recipe_text(str(top)))
    assert complete.read_text().startswith("# On top.\nname: top\n")
    assert load_job(str(complete)) == job
    assert load_job(str(top), ["seed=9"]).seed == 9


EXTENSIONS = {
    "itself": ("extends: {path}\n", "extends itself"),
    "nothing there": ("extends: quickstar\n", "did you mean 'quickstart'"),
    "no mapping": ("extends: quickstart-search\nset: [1]\n", "set: got a list, expected a mapping"),
    "no place": (
        "extends: quickstart-search\nset: {{steps.9.keep: 1}}\n",
        "set: got 'steps.9.keep', but the recipe has no such",
    ),
}


@pytest.mark.parametrize("name", EXTENSIONS)
def test_extensions_that_cannot_be(tmp_path, name):
    path = tmp_path / "own.yaml"
    text, message = EXTENSIONS[name]
    path.write_text(text.format(path=path))
    with pytest.raises(ConfigError, match=message):
        load_job(str(path))


def test_all_mistakes_come_at_once():
    with pytest.raises(ConfigError) as error:
        load_job("quickstart-search", ["seed=x", "steps.1.training.batch_size=0", "nmae=1"])
    for part in ("seed: got 'x'", "steps.1.training.batch_size: got 0", "nmae: unknown option, did you mean 'name'?"):
        assert part in str(error.value)


def test_recipes_that_are_none(tmp_path):
    with pytest.raises(ConfigError, match=r"recipe: got 'quickstat', expected a file.*did you mean 'quickstart'\?"):
        load_job("quickstat")
    (tmp_path / "a.yaml").write_text("name: [")
    with pytest.raises(ConfigError, match=r"a\.yaml: not YAML"):
        load_job(str(tmp_path / "a.yaml"))
    (tmp_path / "b.yaml").write_text("- 1")
    with pytest.raises(ConfigError, match=r"b\.yaml: got a list, expected a recipe"):
        load_job(str(tmp_path / "b.yaml"))
    (tmp_path / "c.pth").write_bytes(bytes([0x80, 0x02, 0xFF]))
    with pytest.raises(ConfigError, match=r"c\.pth: got a file that is no text, expected a recipe"):
        load_job(str(tmp_path / "c.pth"))
    (tmp_path / "d.yaml").write_text("1: 2")
    with pytest.raises(ConfigError, match=r"d\.yaml: got the key 1, expected a name"):
        load_job(str(tmp_path / "d.yaml"))


def test_budgets():
    network = build("resnet", {"ngf": 4, "num_blocks": 1, "norm": "batch"})
    graph = trace(network, (torch.zeros(1, 3, 16, 16),))
    macs = CostModel(graph).macs(graph.full_plan())
    parameters = sum(parameter.numel() for parameter in network.parameters())
    numbers = parameters + sum(buffer.numel() for buffer in network.buffers() if buffer.is_floating_point())
    expected = {
        (("reduction", 8),): (macs.true / 8, "true MACs"),
        (("reduction", 8), ("convention", "outsize")): (macs.outsize / 8, "outsize MACs"),
        (("reduction", 8), ("unit", "parameters")): (parameters / 8, "parameters"),
        (("reduction", 8), ("unit", "bytes")): (4 * numbers / 8, "bytes"),
        (("macs", 3e9), ("convention", "gc")): (3e9, "gc MACs"),
        (("parameters", 1e5),): (1e5, "parameters"),
        (("bytes", 1e5),): (1e5, "bytes"),
        (("latency_ms", 12.5), ("runtime", "openvino"), ("threads", 2)): (12.5, "ms (openvino, 2 threads)"),
    }
    for options, (limit, unit) in expected.items():
        budget = Budget(**dict(options)).limit(graph)
        assert (budget.limit, budget.unit) == (limit, unit)
    with pytest.raises(ConfigError, match="unit: got 'bytes' without 'reduction'"):
        Budget(macs=1e9, unit="bytes")


def test_without_a_budget_no_network_is_traced(monkeypatch):
    job = load_job("quickstart", ["budget=null", "steps=[{kind: quantize}]", "exports=[]"])
    teacher = Generator.from_module(build("resnet", {"ngf": 4}), "resnet", {"ngf": 4})
    monkeypatch.setattr(Inputs, "graph", lambda *_: pytest.fail("traced"))
    assert job.limit(teacher, job.inputs()) is None


LATENT = [
    "task=latent",
    "data={kind: images, root: x, transform: {load_size: 64}}",
    "metrics.networks={net: {path: net.pt}}",
    "metrics.against_teacher=[]",
    "steps=[{kind: quantize}]",
    NO_EXPORT,
]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["metrics.against_real=[ppl_w]"], "got 'ppl_w', which is about a latent space, but the task has none"),
        (
            [*LATENT, "metrics.against_teacher=[ppl_z_net]"],
            r"metrics\.against_teacher: got 'ppl_z_net', which compares nothing with a teacher; name it in",
        ),
        (
            [*LATENT, "metrics.against_real=[fd_net_content]"],
            r"metrics\.against_real: got 'fd_net_content' without metrics\.content_mask, expected one, such as ellipse",
        ),
        ([*LATENT, "metrics.content_mask=elipse"], "content_mask: got 'elipse', expected a kind of mask"),
        ([*LATENT, "metrics.latent={pairs: 5}"], "metrics.latent.pairs: unknown option"),
    ],
)
def test_metrics_of_latents_and_of_content_are_checked_beforehand(changes, message):
    with pytest.raises(ConfigError, match=message):
        load_job("quickstart-search", changes)


def test_metrics_can_be_named_for_a_run_whose_recipe_did_not():
    names = ["ppl_w_net", "projection_psnr_net", "fd_net_content"]
    changes = [f"metrics.against_real={names}", "metrics.content_mask={kind: ellipse}", "metrics.latent.num_pairs=9"]
    job = load_job("quickstart-search", [*LATENT, *changes])
    assert list(job.metrics.against_real) == names
    assert job.metrics.latent.num_pairs == 9
    assert Job(**job.model_dump(mode="json")) == job


def test_setting_the_place_behind_the_last_step_appends_one():
    job = load_job("quickstart-search", ["steps.4={kind: quantize}", NO_EXPORT])
    assert [step.kind for step in job.steps][-2:] == ["finetune", "quantize"]


def test_recipes_are_written_with_a_comment():
    assert all(recipe_text(name).startswith("# ") for name in recipe_names())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("exports=[openvino]", r"exports\.0: openvino needs the package \w+: pip install"),
        ("budget={latency_ms: 3, runtime: openvino}", r"budget\.runtime: openvino needs the package \w+: pip install"),
        ("metrics.networks={mine: {path: net.onnx}}", r"net\.onnx: found no onnxruntime.* pip install"),
    ],
)
def test_packages_are_checked_before_the_first_image(change, message, monkeypatch, tmp_path):
    job = load_job("quickstart-search", ["exports=[]", change])
    monkeypatch.setattr("gancompress.deploy.runtimes.runtime.find_spec", lambda name: None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises((ConfigError, ExportError), match=message):
        Pipeline(job, tmp_path / "run", lambda _: None).run()
    assert not (tmp_path / "run").exists()
