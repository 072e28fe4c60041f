"""Fingerprints: what changes them, and what does not."""

from __future__ import annotations

import pytest

from gancompress.data import parse_data
from gancompress.jobs.fingerprint import Fingerprints
from gancompress.jobs.recipe import Job, load_job
from gancompress.jobs.steps import Distill
from gancompress.losses import Adversarial
from gancompress.options import Options


def job(*changes: str) -> Job:
    return load_job("quickstart", changes)


def fingerprint(*changes: str) -> str:
    found = job(*changes)
    return Fingerprints(found).of(found.steps)


def with_one_more_option(kind: type[Options]) -> type[Options]:
    """Return a class as a later version of the package could have it."""
    fields = {"__module__": kind.__module__, "__annotations__": {"novelty": float}, "novelty": 0.5}
    return type(kind.__name__, (kind,), fields)


@pytest.mark.parametrize("kind", [Distill, Adversarial])
def test_an_option_that_is_new_changes_nothing_at_its_default(kind):
    terms = {"terms": [{"kind": "l1", "weight": 3}, {"kind": "gan", "weight": 2}]}
    given = job(f"steps.0.distillation={terms}")
    later = with_one_more_option(kind)

    def newer(**options) -> Options:
        (step,) = given.steps
        assert isinstance(step, Distill)
        learned = step.distillation
        if kind is Adversarial:
            newest = later(**{**dict(learned.terms[1]), **options})
            return step.model_copy(
                update={"distillation": learned.model_copy(update={"terms": (learned.terms[0], newest)})}
            )
        return later(**{**dict(step), **options})

    fingerprints = Fingerprints(given)
    assert fingerprints.of([newer()]) == fingerprints.of(given.steps)
    assert fingerprints.of([newer(novelty=0.75)]) != fingerprints.of(given.steps)


@pytest.mark.parametrize(
    ("change", "is_same"),
    [
        ("name=other", True),
        ("exports=[]", True),
        ("threads=2", True),
        ("steps.0.training.log_every=3", True),
        ("steps.0.distillation.reconstruct=auto", True),
        ("seed=1", False),
        ("data.image_size=32", False),
        ("steps.0.training.batch_size=3", False),
        ("steps.0.distillation.terms.l1.weight=3", False),
    ],
)
def test_what_a_result_depends_on(change, is_same):
    assert (fingerprint(change) == fingerprint()) == is_same


@pytest.mark.parametrize(("unit", "is_same"), [("bytes", False), ("parameters", True)])
def test_a_later_quantization_decides_over_a_budget_in_bytes_only(unit, is_same):
    def first(*later: str) -> str:
        found = job("budget.reduction=8", f"budget.unit={unit}", *later)
        return Fingerprints(found).of(found.steps[:1])

    quantized = first("exports=[]", "steps.1={kind: quantize}")
    assert (quantized == first()) == is_same
    assert (quantized == first("exports=[]", "steps.1={kind: quantize, quantization: {weight_bits: 4}}")) == is_same


def test_networks_of_one_file_differ(tmp_path):
    (tmp_path / "last.ckpt").write_bytes(b"weights")
    own = "teacher.train=null", "teacher.shipped=null"
    prints = [fingerprint(*own, f"teacher.checkpoint={tmp_path}/last.ckpt{key}") for key in ("", "#netG_A", "#netG_B")]
    assert len(set(prints)) == 3


def test_kinds_are_part_of_it_even_if_all_options_are_defaults():
    data = {"transform": {"load_size": 64, "crop_size": 64}}
    for kind in ("aligned", "paired", "images"):
        assert parse_data({"kind": kind, **data}).model_dump(exclude_defaults=True)["kind"] == kind
    assert job().model_dump(mode="json", exclude_defaults=True)["task"] == {"kind": "paired"}
