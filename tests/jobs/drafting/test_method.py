"""Drafts: network x folder x options -> recipe, without running anything."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gancompress.errors import ConfigError
from gancompress.jobs.drafting import Request
from gancompress.jobs.drafting.material import Material
from gancompress.jobs.drafting.method import Narrowed, Pace, draft, length_of, material_of
from gancompress.jobs.recipe import Job
from gancompress.jobs.steps.networks import NetworkOptions
from tests.jobs.drafting.facts import ASKED, FEW, OWN, PHOTOS, STYLE, UPSCALER

MELS = Material(
    {"kind": "arrays", "root": "mels"}, {"train": 80, "search": 10, "test": 10}, "items of 80x32", (1, 8192), False
)
CUT = Narrowed(multiple=4, refit_images=8, taps=("body.0",))
FAST = Pace(teacher_s=0.01, step_s=0.05, kept_step_s=0.01)


def recipe_for(
    network=STYLE, folder=PHOTOS, request=ASKED, size=(64, 64), cut=CUT, pace=FAST, formats=("openvino",), material=None
):
    """A draft's recipe, which must be a valid job."""
    made = draft(material or material_of(network, folder, size), request, cut, pace, formats)
    Job(**made.recipe)
    return made.recipe


def test_a_draft_cuts_refits_and_distils_without_a_discriminator():
    recipe = recipe_for()
    prune, finetune = recipe["steps"]
    assert prune == {"kind": "prune", "multiple": 4, "refit": {"num_images": 64, "crop_px": None}}
    assert finetune["distillation"] == {
        "reconstruct": "teacher",
        "terms": [{"kind": "l1", "weight": 100}, {"kind": "features", "weight": 1}, {"kind": "ssim", "weight": 5}],
    }
    training = finetune["training"]
    assert training["num_images"] + training["num_decay_images"] == int(0.85 * 1800 / 0.05) * 4
    assert recipe["budget"] == {"reduction": 10}
    assert recipe["teacher"] == {"checkpoint": "x.pth"}
    assert recipe["exports"] == [
        "onnx",
        {"format": "openvino", "precision": "fastest", "min_psnr_db": 30.0, "num_images": 64},
    ]


@pytest.mark.parametrize(
    ("changes", "path", "expected"),
    [
        ({"network": OWN, "request": replace(ASKED, network="nets:Net", config={"width": 8})}, "teacher", None),
        ({"network": OWN}, "data.decoding", {"channels": 1}),
        ({"cut": replace(CUT, taps=())}, "steps.1.distillation.terms.1.kind", "ssim"),
        (
            {"size": (8, 8)},
            "steps.1.distillation.terms",
            [{"kind": "l1", "weight": 100}, {"kind": "features", "weight": 1}],
        ),
        (
            {"cut": replace(CUT, multiple=1)},
            "steps.0",
            {"kind": "prune", "multiple": 1, "refit": {"num_images": 64, "crop_px": None}},
        ),
        ({"cut": replace(CUT, refit_images=None)}, "steps.0", {"kind": "prune", "multiple": 4}),
        ({"cut": replace(CUT, refit_images=100)}, "steps.0", {"kind": "prune", "multiple": 4}),
        ({"folder": FEW}, "steps.0.refit.num_images", 8),
        ({"cut": replace(CUT, num_blocks=8)}, "steps.0.depth", "auto"),
        ({"cut": replace(CUT, num_blocks=8), "pace": Pace(5.0, 21.0, 1.0)}, "steps.0.block_score", "branch_norm"),
        ({"folder": FEW}, "exports", ["onnx"]),
        ({"formats": ()}, "exports", ["onnx"]),
        ({"request": replace(ASKED, min_psnr_db=40.0)}, "exports.1.min_psnr_db", 40.0),
        ({"pace": Pace(20.0, 60.0, 40.0)}, "metrics.max_images", 9),
        ({"pace": Pace(20.0, 60.0, 40.0)}, "steps.1.training.batch_size", 1),
        ({"pace": replace(FAST, precision="bf16")}, "steps.1.training.precision", "bf16"),
        (
            {"request": replace(ASKED, perceptual="nets/squeeze-1.ts.pt")},
            "metrics.against_teacher",
            ["psnr", "ssim", "perceptual_squeeze_1"],
        ),
        ({"request": replace(ASKED, metrics=("ssim",))}, "metrics.against_teacher", ["ssim"]),
        ({"request": Request("x.pth", "photos", num_bytes=5e5)}, "budget", {"bytes": 500_000}),
        (
            {"request": Request("x.pth", "photos", latency_ms=2.5, runtime="eager")},
            "budget",
            {"latency_ms": 2.5, "runtime": "eager"},
        ),
    ],
)
def test_a_draft_follows_the_facts(changes, path, expected):
    found = recipe_for(**changes)
    for key in path.split("."):
        found = found[int(key)] if isinstance(found, list) else found[key]
    if expected is None:
        expected = {"checkpoint": "x.pth", "family": "nets:Net", "config": {"width": 8}, "range": "0..1"}
    assert found == expected


def test_tensors_have_terms_and_metrics_of_their_own():
    request = Request("x.pth", data="mels", smaller=2)
    recipe = recipe_for(material=MELS, request=request)
    assert recipe["data"] == {"kind": "arrays", "root": "mels"}
    assert recipe["metrics"]["against_teacher"] == ["snr", "relative_error"]
    assert [term["kind"] for term in recipe["steps"][1]["distillation"]["terms"]] == ["l1", "features", "stft"]
    features = recipe_for(material=replace(MELS, output=(64, 32)), request=request)
    assert [term["kind"] for term in features["steps"][1]["distillation"]["terms"]] == ["l1", "features"]


@pytest.mark.parametrize(
    ("changes", "pace", "copies"),
    [
        ({"kept_bytes": 500_000}, Pace(0.4, 1.8, 0.2), 5),  # 0.4 * 1,530 s / (298 * 0.4 s)
        ({"kept_bytes": 5_000_000}, Pace(0.4, 1.8, 0.2), 2),  # 4 GiB
        ({"kept_bytes": 500_000}, Pace(0.4, 5.0, 3.4), None),  # the student's step takes longer
        ({"kept_bytes": 500_000}, Pace(3.0, 7.0, 4.0), None),  # no time for one crop of each image
        ({}, Pace(0.4, 1.8, 0.2), None),
    ],
)
def test_crops_repeat_where_the_teacher_is_slower_than_its_student(changes, pace, copies):
    material = material_of(STYLE, PHOTOS, (64, 64))
    made = length_of(
        replace(material, counts={**material.counts, "train": 298}), ASKED, replace(CUT, **changes), pace, 4
    )
    assert made.copies == copies
    if copies:
        assert made.num_images == int((0.85 * 1800 - 298 * copies * pace.teacher_s) / pace.kept_step_s) * 4
        assert made.training(4)["teacher_cache"] == {"copies": copies}
    else:
        assert made.num_images == int(0.85 * 1800 / pace.step_s) * 4


def test_the_teacher_counts_once_for_inputs_that_repeat():
    request = Request("x.pth", data="mels", smaller=2, minutes=1)  # 51 s
    made = draft(replace(MELS, repeats=True), request, CUT, Pace(0.01, 2.0, 0.1), ())
    training = Job(**made.recipe).steps[1].training
    assert training.total_images == (20 + 110) * 4  # 20 steps of 2 s for 80 items, and 11 s of others
    assert made.reasons[1].endswith("2 s for each 4, then 0.1 s with the original's outputs in memory")
    alone = draft(MELS, replace(request, minutes=0.5), CUT, Pace(0.01, 2.0, 2.0), ())
    assert Job(**alone.recipe).steps[1].training.total_images == 12 * 4
    assert alone.reasons[1].endswith("2 s for each 4")


def test_a_student_of_another_architecture_learns_from_fresh_weights():
    student = NetworkOptions(family="srvggnet_compact", config={"scale": 4})
    material, request = material_of(UPSCALER, PHOTOS, (32, 32)), replace(ASKED, like="srvggnet_compact")
    made = draft(material, request, Narrowed(4, None, False), FAST, (), student)
    (step,) = Job(**made.recipe).steps
    assert (step.kind, step.initial, step.student.family, step.multiple) == ("distill", "random", "srvggnet_compact", 4)
    assert made.reasons[0].startswith("method: a fresh srvggnet_compact of 10 times fewer MACs learns from")
    assert made.recipe["name"] == "x-srvggnet_compact-10x"


def test_grey_images_have_metrics_of_any_channels():
    assert recipe_for(network=OWN)["metrics"]["against_teacher"] == ["psnr_range", "relative_error"]


REQUESTS = {
    "no inputs": (
        {"images": None, "smaller": 2},
        r"'x\.pth' with neither --images nor --data, or both, expected one of",
    ),
    "two kinds of inputs": ({"data": "a:b", "smaller": 2}, r"with neither --images nor --data, or both"),
    "a size of items": ({"images": None, "data": "a:b", "smaller": 2, "size": (8, 8)}, r"--size: got it with --data"),
    "no budget": ({}, r"got a checkpoint with no budget or several, expected one of --smaller N .* and --bytes N"),
    "two budgets": ({"smaller": 2, "num_bytes": 5}, "no budget or several"),
    "milliseconds of nothing": ({"latency_ms": 5}, r"--ms: got it alone, expected --runtime NAME with it"),
    "a runtime alone": ({"smaller": 2, "runtime": "eager"}, r"--runtime: got it alone, expected --ms X with it"),
    "larger": ({"smaller": 0.5}, r"--smaller: got 0\.5, expected more than 1"),
    "no time": ({"smaller": 2, "minutes": 0}, r"--minutes: got 0, expected more than 0"),
    "arguments of nothing": ({"smaller": 2, "config": {"a": 1}}, r"--set: got options without --net"),
    "no range": ({"smaller": 2, "image_range": "1"}, r"range: got '1', expected two rising numbers"),
}


@pytest.mark.parametrize(("options", "message"), REQUESTS.values(), ids=REQUESTS)
def test_options_that_do_not_fit_one_another_are_one_line(options, message):
    with pytest.raises(ConfigError, match=message):
        Request("x.pth", **{"images": "photos", **options})


@pytest.mark.parametrize(
    ("request_", "name"),
    [
        (ASKED, "x-10x"),
        (Request("nets/last.ckpt#net g", "photos", smaller=2.5), "last-net-g-2.5x"),
        (Request("x.pth", "photos", latency_ms=5, runtime="openvino"), "x-5ms-openvino"),
        (Request("x.pth", "photos", num_bytes=5e5), "x-500000B"),
    ],
)
def test_a_run_is_named_after_checkpoint_and_budget(request_, name):
    assert (request_.name, request_.directory.as_posix()) == (name, f"runs/{name}")
